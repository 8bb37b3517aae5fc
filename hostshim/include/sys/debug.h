/*
 * Nothing: debug(9) fills freed memory, and the machine sees each access to it.
 */
#ifndef _RUMPLAB_SYS_DEBUG_H_
#define _RUMPLAB_SYS_DEBUG_H_



#endif
