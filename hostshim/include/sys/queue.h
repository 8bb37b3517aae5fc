/*
 * queue(3): linked lists and queues.
 */
#ifndef _RUMPLAB_SYS_QUEUE_H_
#define _RUMPLAB_SYS_QUEUE_H_

#include <sys/null.h>

/* SLIST: singly linked, a pointer as head. */
#define SLIST_HEAD(name, type)		struct name { struct type *slh_first; }
#define SLIST_HEAD_INITIALIZER(head)	{ NULL }
#define SLIST_ENTRY(type)		struct { struct type *sle_next; }
#define SLIST_FIRST(head)		((head)->slh_first)
#define SLIST_NEXT(elm, field)		((elm)->field.sle_next)
#define SLIST_EMPTY(head)		(SLIST_FIRST(head) == NULL)
#define SLIST_END(head)			NULL
#define SLIST_FOREACH(var, head, field)	\
	for ((var) = SLIST_FIRST(head); (var) != NULL; (var) = SLIST_NEXT(var, field))
#define SLIST_FOREACH_SAFE(var, head, field, next)	\
	for ((var) = SLIST_FIRST(head); (var) != NULL && ((next) = SLIST_NEXT(var, field), 1); (var) = (next))
#define SLIST_INIT(head)	\
	do {	\
		SLIST_FIRST(head) = NULL;	\
	} while (0)

#define SLIST_INSERT_HEAD(head, elm, field)	\
	do {	\
		SLIST_NEXT(elm, field) = SLIST_FIRST(head);	\
		SLIST_FIRST(head) = (elm);	\
	} while (0)

#define SLIST_INSERT_AFTER(before, elm, field)	\
	do {	\
		SLIST_NEXT(elm, field) = SLIST_NEXT(before, field);	\
		SLIST_NEXT(before, field) = (elm);	\
	} while (0)

#define SLIST_REMOVE_HEAD(head, field)	\
	do {	\
		SLIST_FIRST(head) = SLIST_NEXT(SLIST_FIRST(head), field);	\
	} while (0)

#define SLIST_REMOVE_AFTER(before, field)	\
	do {	\
		SLIST_NEXT(before, field) = SLIST_NEXT(SLIST_NEXT(before, field), field);	\
	} while (0)

#define SLIST_REMOVE(head, elm, type, field)	\
	do {	\
		if (SLIST_FIRST(head) == (elm)) {	\
			SLIST_REMOVE_HEAD(head, field);	\
		} else {	\
			struct type *before_ = SLIST_FIRST(head);	\
			while (SLIST_NEXT(before_, field) != (elm))	\
				before_ = SLIST_NEXT(before_, field);	\
			SLIST_REMOVE_AFTER(before_, field);	\
		}	\
	} while (0)

/* LIST: doubly linked, a pointer as head. */
#define LIST_HEAD(name, type)		struct name { struct type *lh_first; }
#define LIST_HEAD_INITIALIZER(head)	{ NULL }
#define LIST_ENTRY(type)		struct { struct type *le_next; struct type **le_prev; }
#define LIST_FIRST(head)		((head)->lh_first)
#define LIST_NEXT(elm, field)		((elm)->field.le_next)
#define LIST_EMPTY(head)		(LIST_FIRST(head) == NULL)
#define LIST_END(head)			NULL
#define LIST_FOREACH(var, head, field)	\
	for ((var) = LIST_FIRST(head); (var) != NULL; (var) = LIST_NEXT(var, field))
#define LIST_FOREACH_SAFE(var, head, field, next)	\
	for ((var) = LIST_FIRST(head); (var) != NULL && ((next) = LIST_NEXT(var, field), 1); (var) = (next))
#define LIST_INIT(head)	\
	do {	\
		LIST_FIRST(head) = NULL;	\
	} while (0)

#define LIST_INSERT_HEAD(head, elm, field)	\
	do {	\
		if ((LIST_NEXT(elm, field) = LIST_FIRST(head)) != NULL)	\
			LIST_FIRST(head)->field.le_prev = &LIST_NEXT(elm, field);	\
		LIST_FIRST(head) = (elm);	\
		(elm)->field.le_prev = &LIST_FIRST(head);	\
	} while (0)

#define LIST_INSERT_AFTER(before, elm, field)	\
	do {	\
		if ((LIST_NEXT(elm, field) = LIST_NEXT(before, field)) != NULL)	\
			LIST_NEXT(before, field)->field.le_prev = &LIST_NEXT(elm, field);	\
		LIST_NEXT(before, field) = (elm);	\
		(elm)->field.le_prev = &LIST_NEXT(before, field);	\
	} while (0)

#define LIST_INSERT_BEFORE(after, elm, field)	\
	do {	\
		(elm)->field.le_prev = (after)->field.le_prev;	\
		LIST_NEXT(elm, field) = (after);	\
		*(after)->field.le_prev = (elm);	\
		(after)->field.le_prev = &LIST_NEXT(elm, field);	\
	} while (0)

#define LIST_REMOVE(elm, field)	\
	do {	\
		if (LIST_NEXT(elm, field) != NULL)	\
			LIST_NEXT(elm, field)->field.le_prev = (elm)->field.le_prev;	\
		*(elm)->field.le_prev = LIST_NEXT(elm, field);	\
	} while (0)

/* SIMPLEQ: singly linked, with the last element known. */
#define SIMPLEQ_HEAD(name, type)		struct name { struct type *sqh_first; struct type **sqh_last; }
#define SIMPLEQ_HEAD_INITIALIZER(head)	{ NULL, &(head).sqh_first }
#define SIMPLEQ_ENTRY(type)		struct { struct type *sqe_next; }
#define SIMPLEQ_FIRST(head)		((head)->sqh_first)
#define SIMPLEQ_NEXT(elm, field)		((elm)->field.sqe_next)
#define SIMPLEQ_EMPTY(head)		(SIMPLEQ_FIRST(head) == NULL)
#define SIMPLEQ_FOREACH(var, head, field)	\
	for ((var) = SIMPLEQ_FIRST(head); (var) != NULL; (var) = SIMPLEQ_NEXT(var, field))
#define SIMPLEQ_FOREACH_SAFE(var, head, field, next)	\
	for ((var) = SIMPLEQ_FIRST(head); (var) != NULL && ((next) = SIMPLEQ_NEXT(var, field), 1); (var) = (next))
#define SIMPLEQ_INIT(head)	\
	do {	\
		SIMPLEQ_FIRST(head) = NULL;	\
		(head)->sqh_last = &SIMPLEQ_FIRST(head);	\
	} while (0)

#define SIMPLEQ_INSERT_HEAD(head, elm, field)	\
	do {	\
		if ((SIMPLEQ_NEXT(elm, field) = SIMPLEQ_FIRST(head)) == NULL)	\
			(head)->sqh_last = &SIMPLEQ_NEXT(elm, field);	\
		SIMPLEQ_FIRST(head) = (elm);	\
	} while (0)

#define SIMPLEQ_INSERT_TAIL(head, elm, field)	\
	do {	\
		SIMPLEQ_NEXT(elm, field) = NULL;	\
		*(head)->sqh_last = (elm);	\
		(head)->sqh_last = &SIMPLEQ_NEXT(elm, field);	\
	} while (0)

#define SIMPLEQ_INSERT_AFTER(head, before, elm, field)	\
	do {	\
		if ((SIMPLEQ_NEXT(elm, field) = SIMPLEQ_NEXT(before, field)) == NULL)	\
			(head)->sqh_last = &SIMPLEQ_NEXT(elm, field);	\
		SIMPLEQ_NEXT(before, field) = (elm);	\
	} while (0)

#define SIMPLEQ_REMOVE_HEAD(head, field)	\
	do {	\
		if ((SIMPLEQ_FIRST(head) = SIMPLEQ_NEXT(SIMPLEQ_FIRST(head), field)) == NULL)	\
			(head)->sqh_last = &SIMPLEQ_FIRST(head);	\
	} while (0)

#define SIMPLEQ_REMOVE_AFTER(head, before, field)	\
	do {	\
		if ((SIMPLEQ_NEXT(before, field) = SIMPLEQ_NEXT(SIMPLEQ_NEXT(before, field), field)) == NULL)	\
			(head)->sqh_last = &SIMPLEQ_NEXT(before, field);	\
	} while (0)

#define SIMPLEQ_REMOVE(head, elm, type, field)	\
	do {	\
		if (SIMPLEQ_FIRST(head) == (elm)) {	\
			SIMPLEQ_REMOVE_HEAD(head, field);	\
		} else {	\
			struct type *before_ = SIMPLEQ_FIRST(head);	\
			while (SIMPLEQ_NEXT(before_, field) != (elm))	\
				before_ = SIMPLEQ_NEXT(before_, field);	\
			SIMPLEQ_REMOVE_AFTER(head, before_, field);	\
		}	\
	} while (0)

#define SIMPLEQ_CONCAT(to, from)	\
	do {	\
		if (!SIMPLEQ_EMPTY(from)) {	\
			*(to)->sqh_last = SIMPLEQ_FIRST(from);	\
			(to)->sqh_last = (from)->sqh_last;	\
			SIMPLEQ_INIT(from);	\
		}	\
	} while (0)

/* STAILQ: the same under another name. */
#define STAILQ_HEAD(name, type)		struct name { struct type *stqh_first; struct type **stqh_last; }
#define STAILQ_HEAD_INITIALIZER(head)	{ NULL, &(head).stqh_first }
#define STAILQ_ENTRY(type)		struct { struct type *stqe_next; }
#define STAILQ_FIRST(head)		((head)->stqh_first)
#define STAILQ_NEXT(elm, field)		((elm)->field.stqe_next)
#define STAILQ_EMPTY(head)		(STAILQ_FIRST(head) == NULL)
#define STAILQ_FOREACH(var, head, field)	\
	for ((var) = STAILQ_FIRST(head); (var) != NULL; (var) = STAILQ_NEXT(var, field))
#define STAILQ_FOREACH_SAFE(var, head, field, next)	\
	for ((var) = STAILQ_FIRST(head); (var) != NULL && ((next) = STAILQ_NEXT(var, field), 1); (var) = (next))
#define STAILQ_INIT(head)	\
	do {	\
		STAILQ_FIRST(head) = NULL;	\
		(head)->stqh_last = &STAILQ_FIRST(head);	\
	} while (0)

#define STAILQ_INSERT_HEAD(head, elm, field)	\
	do {	\
		if ((STAILQ_NEXT(elm, field) = STAILQ_FIRST(head)) == NULL)	\
			(head)->stqh_last = &STAILQ_NEXT(elm, field);	\
		STAILQ_FIRST(head) = (elm);	\
	} while (0)

#define STAILQ_INSERT_TAIL(head, elm, field)	\
	do {	\
		STAILQ_NEXT(elm, field) = NULL;	\
		*(head)->stqh_last = (elm);	\
		(head)->stqh_last = &STAILQ_NEXT(elm, field);	\
	} while (0)

#define STAILQ_INSERT_AFTER(head, before, elm, field)	\
	do {	\
		if ((STAILQ_NEXT(elm, field) = STAILQ_NEXT(before, field)) == NULL)	\
			(head)->stqh_last = &STAILQ_NEXT(elm, field);	\
		STAILQ_NEXT(before, field) = (elm);	\
	} while (0)

#define STAILQ_REMOVE_HEAD(head, field)	\
	do {	\
		if ((STAILQ_FIRST(head) = STAILQ_NEXT(STAILQ_FIRST(head), field)) == NULL)	\
			(head)->stqh_last = &STAILQ_FIRST(head);	\
	} while (0)

#define STAILQ_REMOVE_AFTER(head, before, field)	\
	do {	\
		if ((STAILQ_NEXT(before, field) = STAILQ_NEXT(STAILQ_NEXT(before, field), field)) == NULL)	\
			(head)->stqh_last = &STAILQ_NEXT(before, field);	\
	} while (0)

#define STAILQ_REMOVE(head, elm, type, field)	\
	do {	\
		if (STAILQ_FIRST(head) == (elm)) {	\
			STAILQ_REMOVE_HEAD(head, field);	\
		} else {	\
			struct type *before_ = STAILQ_FIRST(head);	\
			while (STAILQ_NEXT(before_, field) != (elm))	\
				before_ = STAILQ_NEXT(before_, field);	\
			STAILQ_REMOVE_AFTER(head, before_, field);	\
		}	\
	} while (0)

#define STAILQ_CONCAT(to, from)	\
	do {	\
		if (!STAILQ_EMPTY(from)) {	\
			*(to)->stqh_last = STAILQ_FIRST(from);	\
			(to)->stqh_last = (from)->stqh_last;	\
			STAILQ_INIT(from);	\
		}	\
	} while (0)

/* TAILQ: doubly linked, with the last element known. */
#define TAILQ_HEAD(name, type)		struct name { struct type *tqh_first; struct type **tqh_last; }
#define TAILQ_HEAD_INITIALIZER(head)	{ NULL, &(head).tqh_first }
#define TAILQ_ENTRY(type)		struct { struct type *tqe_next; struct type **tqe_prev; }
#define TAILQ_FIRST(head)		((head)->tqh_first)
#define TAILQ_NEXT(elm, field)		((elm)->field.tqe_next)
#define TAILQ_END(head)			NULL
#define TAILQ_EMPTY(head)		(TAILQ_FIRST(head) == NULL)
/* The pointer before an element is the first word of an entry or of a head; the second word points back. */
#define TAILQ_LAST(head, name)		(*((struct name *)(void *)(head)->tqh_last)->tqh_last)
#define TAILQ_PREV(elm, name, field)	(*((struct name *)(void *)(elm)->field.tqe_prev)->tqh_last)
#define TAILQ_FOREACH(var, head, field)	\
	for ((var) = TAILQ_FIRST(head); (var) != NULL; (var) = TAILQ_NEXT(var, field))
#define TAILQ_FOREACH_SAFE(var, head, field, next)	\
	for ((var) = TAILQ_FIRST(head); (var) != NULL && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))
#define TAILQ_FOREACH_REVERSE(var, head, name, field)	\
	for ((var) = TAILQ_LAST(head, name); (var) != NULL; (var) = TAILQ_PREV(var, name, field))
#define TAILQ_INIT(head)	\
	do {	\
		TAILQ_FIRST(head) = NULL;	\
		(head)->tqh_last = &TAILQ_FIRST(head);	\
	} while (0)

#define TAILQ_INSERT_HEAD(head, elm, field)	\
	do {	\
		if ((TAILQ_NEXT(elm, field) = TAILQ_FIRST(head)) != NULL)	\
			TAILQ_FIRST(head)->field.tqe_prev = &TAILQ_NEXT(elm, field);	\
		else	\
			(head)->tqh_last = &TAILQ_NEXT(elm, field);	\
		TAILQ_FIRST(head) = (elm);	\
		(elm)->field.tqe_prev = &TAILQ_FIRST(head);	\
	} while (0)

#define TAILQ_INSERT_TAIL(head, elm, field)	\
	do {	\
		TAILQ_NEXT(elm, field) = NULL;	\
		(elm)->field.tqe_prev = (head)->tqh_last;	\
		*(head)->tqh_last = (elm);	\
		(head)->tqh_last = &TAILQ_NEXT(elm, field);	\
	} while (0)

#define TAILQ_INSERT_AFTER(head, before, elm, field)	\
	do {	\
		if ((TAILQ_NEXT(elm, field) = TAILQ_NEXT(before, field)) != NULL)	\
			TAILQ_NEXT(elm, field)->field.tqe_prev = &TAILQ_NEXT(elm, field);	\
		else	\
			(head)->tqh_last = &TAILQ_NEXT(elm, field);	\
		TAILQ_NEXT(before, field) = (elm);	\
		(elm)->field.tqe_prev = &TAILQ_NEXT(before, field);	\
	} while (0)

#define TAILQ_INSERT_BEFORE(after, elm, field)	\
	do {	\
		(elm)->field.tqe_prev = (after)->field.tqe_prev;	\
		TAILQ_NEXT(elm, field) = (after);	\
		*(after)->field.tqe_prev = (elm);	\
		(after)->field.tqe_prev = &TAILQ_NEXT(elm, field);	\
	} while (0)

#define TAILQ_REMOVE(head, elm, field)	\
	do {	\
		if (TAILQ_NEXT(elm, field) != NULL)	\
			TAILQ_NEXT(elm, field)->field.tqe_prev = (elm)->field.tqe_prev;	\
		else	\
			(head)->tqh_last = (elm)->field.tqe_prev;	\
		*(elm)->field.tqe_prev = TAILQ_NEXT(elm, field);	\
	} while (0)

#define TAILQ_CONCAT(to, from, field)	\
	do {	\
		if (!TAILQ_EMPTY(from)) {	\
			*(to)->tqh_last = TAILQ_FIRST(from);	\
			TAILQ_FIRST(from)->field.tqe_prev = (to)->tqh_last;	\
			(to)->tqh_last = (from)->tqh_last;	\
			TAILQ_INIT(from);	\
		}	\
	} while (0)

#endif
