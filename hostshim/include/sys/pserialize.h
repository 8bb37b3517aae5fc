/*
 * pserialize(9): passive serialization. A read section must not sleep.
 */
#ifndef _RUMPLAB_SYS_PSERIALIZE_H_
#define _RUMPLAB_SYS_PSERIALIZE_H_

#include <sys/types.h>

typedef struct pserialize *pserialize_t;

pserialize_t pserialize_create(void);
void pserialize_destroy(pserialize_t psz);
void pserialize_perform(pserialize_t psz);
int pserialize_read_enter(void);
void pserialize_read_exit(int s);
/* For a file that is pserialize(9) itself. */
void pserialize_init(void);
void pserialize_switchpoint(void);

bool pserialize_in_read_section(void);
bool pserialize_not_in_read_section(void);

#endif
