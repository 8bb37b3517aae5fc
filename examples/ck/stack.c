/*
 * A stack gives out each entry once. Two threads take entries and put them back, so that the same entry comes to the top again.
 * -D POP=upmc, with one thread that takes, or mpmc, with -D TAKERS for a second one. With -D TRY they use trypop.
 */
#include <rumplab.h>

#include <ck_stack.h>

#define NAME_(a, b)	a ## b
#define NAME(a, b)	NAME_(a, b)
#define push		NAME(ck_stack_push_, POP)
#define pop		NAME(ck_stack_pop_, POP)
#define trypop		NAME(ck_stack_trypop_, POP)

#define ENTRIES		3

struct item {
	ck_stack_entry_t entry;
	unsigned owners;
};

static struct ck_stack stack __attribute__((aligned(16)));
static struct item items[ENTRIES];

static struct item *
take(void)
{
	struct ck_stack_entry *entry;
	struct item *item;

#ifdef TRY
	if (!trypop(&stack, &entry))
		return NULL;
#else
	entry = pop(&stack);
	if (entry == NULL)
		return NULL;
#endif
	item = (struct item *)entry;
	/* It is this thread's alone, so its counter needs no atomic operation. */
	item->owners++;
	rumplab_check(item->owners == 1, "an entry is given out once");
	return item;
}

static void
put(struct item *item)
{
	if (item != NULL) {
		item->owners--;
		push(&stack, &item->entry);
	}
}

static void
taker(void *arg)
{
	struct item *one, *other;

	one = take();
	other = take();
	put(one);
	put(other);
	put(take());
}

/* Puts entries of its own there. */
static void
giver(void *arg)
{
	push(&stack, &items[ENTRIES - 1].entry);
}

void
rumplab_setup(void)
{
	ck_stack_init(&stack);
	for (int i = 0; i < ENTRIES - 1; i++)
		push(&stack, &items[i].entry);
	rumplab_actor("taker", 0, taker, NULL);
	rumplab_actor("giver", 1, giver, NULL);
#ifdef TAKERS
	rumplab_actor("taker2", 2, taker, NULL);
#endif
}

void
rumplab_verify(void)
{
	struct ck_stack_entry *entry;
	unsigned count = 0;

	CK_STACK_FOREACH(&stack, entry) {
		/* A list that is broken may have no end. */
		if (count++ == ENTRIES)
			break;
	}
	rumplab_check(count == ENTRIES, "no entry is lost");
}
