/*
 * Tables of link-layer addresses: a table is purged and freed while entries are made and found, and while their timers end them. Each timer
 * has a reference to its entry. The kernel's own tables are not offered to C: this scenario needs a C file that is them.
 */
#include <rumplab.h>
#include <sys/callout.h>
#include <sys/kmem.h>
#include <net/if.h>
#include <net/if_llatbl.h>

static struct ifnet interface;
static krwlock_t afdata;
static struct lltable *table;

static void
entry_free(struct llentry *lle)
{
	LLE_WUNLOCK(lle);
	LLE_LOCK_DESTROY(lle);
	callout_destroy(&lle->lle_timer);
	kmem_free(lle, sizeof(struct llentry));
}

/* The entry has expired. */
static void
expired(void *arg)
{
	struct llentry *lle = arg;

	LLE_WLOCK(lle);
	if (callout_pending(&lle->lle_timer)) {
		LLE_WUNLOCK(lle);
		return;
	}
	/* The lock of the tables comes before that of the entry. Its reference keeps the entry meanwhile. */
	LLE_WUNLOCK(lle);
	IF_AFDATA_WLOCK(&interface);
	LLE_WLOCK(lle);
	if ((lle->la_flags & LLE_LINKED) != 0) {
		LLE_REMREF(lle);
		llentry_free(lle);
	} else {
		LLE_FREE_LOCKED(lle);
	}
	IF_AFDATA_WUNLOCK(&interface);
}

static uint32_t
hash(const struct llentry *lle, uint32_t size)
{
	return lle->r_l3addr.addr4.s_addr % size;
}

static struct llentry *
lookup(struct lltable *llt, u_int flags, const struct sockaddr *l3addr)
{
	const struct in_addr addr = satocsin(l3addr)->sin_addr;
	struct llentry *lle;

	IF_AFDATA_LOCK_ASSERT(&interface);
	LIST_FOREACH(lle, &llt->lle_head[addr.s_addr % llt->llt_hsize], lle_next) {
		if (lle->r_l3addr.addr4.s_addr == addr.s_addr)
			break;
	}
	if (lle == NULL)
		return NULL;
	if ((flags & LLE_EXCLUSIVE) != 0)
		LLE_WLOCK(lle);
	else
		LLE_RLOCK(lle);
	return lle;
}

static struct llentry *
create(struct lltable *llt, u_int flags, const struct sockaddr *l3addr)
{
	struct llentry *lle = kmem_zalloc(sizeof(struct llentry), KM_SLEEP);

	lle->r_l3addr.addr4 = satocsin(l3addr)->sin_addr;
	lle->lle_refcnt = 1;
	lle->lle_free = entry_free;
	LLE_LOCK_INIT(lle);
	callout_init(&lle->lle_timer, CALLOUT_MPSAFE);
	lltable_link_entry(llt, lle);
	LLE_WLOCK(lle);
	return lle;
}

/* Finds an entry, or makes it. The timer of an entry is started once. */
static void
user(void *arg)
{
	struct sockaddr_in sin = { .sin_len = sizeof(sin), .sin_family = AF_INET };
	const struct sockaddr *dst = (const struct sockaddr *)&sin;

	for (int i = 0; i < 2; i++) {
		struct llentry *lle;

		sin.sin_addr.s_addr = (in_addr_t)i;
		IF_AFDATA_WLOCK(&interface);
		lle = lla_lookup(table, LLE_EXCLUSIVE, dst);
		if (lle == NULL)
			lle = lla_create(table, 0, dst);
		if ((lle->la_flags & LLE_VALID) == 0) {
			lle->la_flags |= LLE_VALID;
			LLE_ADDREF(lle);
			callout_reset(&lle->lle_timer, 1, expired, lle);
		}
		LLE_WUNLOCK(lle);
		IF_AFDATA_WUNLOCK(&interface);
		kpause("user", false, 1, NULL);
	}
}

static void
owner(void *arg)
{
	struct lwp *l = rumplab_thread("user1", 1, user, NULL);

	kpause("owner", false, 1, NULL);
	lltable_purge_entries(table);
	rumplab_join(l);
	lltable_free(table);
}

void
rumplab_setup(void)
{
	rw_init(&afdata);
	interface.if_afdata_lock = &afdata;
	rumplab_label(&interface, "interface");
	lltableinit();
	table = lltable_allocate_htbl(2);
	table->llt_af = AF_INET;
	table->llt_ifp = &interface;
	table->llt_lookup = lookup;
	table->llt_create = create;
	table->llt_hash = hash;
	rumplab_label(table, "table");
	lltable_link(table);
	rumplab_actor("owner", 0, owner, NULL);
}

void
rumplab_teardown(void)
{
	rw_destroy(&afdata);
}
