/*
 * spl(9) and softint(9): interrupt priority levels and soft interrupts.
 */
#ifndef _RUMPLAB_SYS_INTR_H_
#define _RUMPLAB_SYS_INTR_H_

#include <sys/types.h>

#define IPL_NONE		0
#define IPL_SOFTCLOCK		1
#define IPL_SOFTBIO		2
#define IPL_SOFTNET		3
#define IPL_SOFTSERIAL		4
#define IPL_VM			5
#define IPL_SCHED		6
#define IPL_HIGH		7
#define NIPL			8
#define IPL_NET			IPL_VM
#define IPL_BIO			IPL_VM
#define IPL_TTY			IPL_VM
#define IPL_CLOCK		IPL_SCHED
#define IPL_SERIAL		IPL_HIGH

typedef int ipl_t;
typedef struct { ipl_t _ipl; } ipl_cookie_t;

int rumplab_splraise(int ipl);
void splx(int s);
void spl0(void);

#define makeiplcookie(ipl)	((ipl_cookie_t){ ._ipl = (ipl) })
#define splraiseipl(cookie)	rumplab_splraise((cookie)._ipl)
#define splsoftclock()		rumplab_splraise(IPL_SOFTCLOCK)
#define splsoftbio()		rumplab_splraise(IPL_SOFTBIO)
#define splsoftnet()		rumplab_splraise(IPL_SOFTNET)
#define splsoftserial()		rumplab_splraise(IPL_SOFTSERIAL)
#define splvm()			rumplab_splraise(IPL_VM)
#define splnet()		splvm()
#define splbio()		splvm()
#define spltty()		splvm()
#define splsched()		rumplab_splraise(IPL_SCHED)
#define splclock()		splsched()
#define splhigh()		rumplab_splraise(IPL_HIGH)
#define splserial()		splhigh()

bool cpu_intr_p(void);

#define SOFTINT_CLOCK		0x0000
#define SOFTINT_BIO		0x0001
#define SOFTINT_NET		0x0002
#define SOFTINT_SERIAL		0x0003
#define SOFTINT_LVLMASK		0x00ff
#define SOFTINT_COUNT		4
#define SOFTINT_MPSAFE		0x0100
#define SOFTINT_RCPU		0x0200
#define SOFTINT_IMPMASK		0xf000

void *softint_establish(u_int flags, void (*func)(void *), void *arg);
void softint_disestablish(void *sih);
void softint_schedule(void *sih);
void softint_schedule_cpu(void *sih, struct cpu_info *ci);
bool cpu_softintr_p(void);

#endif
