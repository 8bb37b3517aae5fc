/*
 * Included before every file that gcc compiles. It announces nothing of these builtins, and everything of the functions.
 */
#ifndef RUMPLAB_BUILTINS_H
#define RUMPLAB_BUILTINS_H

void *memcpy(void *, const void *, __SIZE_TYPE__);
void *memmove(void *, const void *, __SIZE_TYPE__);
void *memset(void *, int, __SIZE_TYPE__);
int memcmp(const void *, const void *, __SIZE_TYPE__);
__SIZE_TYPE__ strlen(const char *);

#define __builtin_memcpy memcpy
#define __builtin_memmove memmove
#define __builtin_memset memset
#define __builtin_memcmp memcmp
#define __builtin_strlen strlen

#endif
