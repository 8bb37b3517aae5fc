/*
 * The error numbers that functions of section 9 return.
 */
#ifndef _RUMPLAB_SYS_ERRNO_H_
#define _RUMPLAB_SYS_ERRNO_H_

#define EPERM		1
#define ENOENT		2
#define ESRCH		3
#define EINTR		4
#define EIO		5
#define E2BIG		7
#define EDEADLK		11
#define ENOMEM		12
#define EACCES		13
#define EFAULT		14
#define EBUSY		16
#define EEXIST		17
#define ENODEV		19
#define ENOTDIR		20
#define EINVAL		22
#define ENFILE		23
#define EFBIG		27
#define ENOSPC		28
#define EPIPE		32
#define EDOM		33
#define ERANGE		34
#define EAGAIN		35
#define EWOULDBLOCK	EAGAIN
#define EINPROGRESS	36
#define EALREADY	37
#define EMSGSIZE	40
#define EOPNOTSUPP	45
#define EAFNOSUPPORT	47
#define EADDRINUSE	48
#define EADDRNOTAVAIL	49
#define ENETDOWN	50
#define ENETUNREACH	51
#define ECONNRESET	54
#define ENOBUFS		55
#define EISCONN		56
#define ENOTCONN	57
#define ETIMEDOUT	60
#define EHOSTDOWN	64
#define EHOSTUNREACH	65
#define ENOSYS		78
#define ECANCELED	87
#define ERESTART	(-3)
#define EJUSTRETURN	(-2)
#define EPASSTHROUGH	(-4)

#endif
