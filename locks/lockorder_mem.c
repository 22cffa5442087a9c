/*
 * The engine's memory and its raw lock.
 */
#include <string.h>

#include "lockorder_int.h"

#define	REGION	(256 * 1024UL)
#define	CLASSES	40			/* powers of two of what was given back */

struct lockorder_env lo_env;
uint64_t lo_lost;

static int word;			/* atomic: 1 locked */

/* What was mapped, for ever.  L */
static struct region {
	struct region	*r_next;
	size_t		 r_size, r_used;
	size_t		 r_dirty;	/* bytes that were used before the last start */
} *regions, *current;

static struct free_block {
	struct free_block *fb_next;
} *freed[CLASSES];			/* L: by log2 of size */

void
lo_lock(void)
{
	unsigned spins = 0;

	lo_env.le_enter();
	/* acquire: pairs with lo_unlock() */
	while (__atomic_load_n(&word, __ATOMIC_RELAXED) != 0 ||
	    __atomic_exchange_n(&word, 1, __ATOMIC_ACQUIRE) != 0)
		lo_env.le_relax(&spins);
}

void
lo_unlock(void)
{
	__atomic_store_n(&word, 0, __ATOMIC_RELEASE);
	lo_env.le_leave();
}

void
lo_mem_reset(void)
{
	for (struct region *r = regions; r != NULL; r = r->r_next) {
		if (r->r_used > r->r_dirty)
			r->r_dirty = r->r_used;
		r->r_used = sizeof(*r);
	}
	current = regions;
	memset(freed, 0, sizeof(freed));
	lo_lost = 0;
}

static bool
more(size_t size)
{
	size_t bytes = size + sizeof(struct region) > REGION ? size + sizeof(struct region) : REGION;
	struct region *r, **last = &regions;

	while (current != NULL && current->r_next != NULL) {
		current = current->r_next;
		if (current->r_size - current->r_used >= size)
			return true;
	}
	bytes = (bytes + 4095) & ~4095UL;
	r = lo_env.le_map(bytes);
	if (r == NULL)
		return false;
	r->r_size = bytes;
	r->r_used = sizeof(*r);
	while (*last != NULL)
		last = &(*last)->r_next;
	*last = current = r;
	return true;
}

static int
log2_up(size_t size)
{
	return size <= 16 ? 4 : 64 - __builtin_clzl(size - 1);
}

void *
lo_alloc(size_t size)
{
	const int bits = log2_up(size);
	struct free_block *fb = freed[bits];
	char *p;

	if (fb != NULL) {
		freed[bits] = fb->fb_next;
		memset(fb, 0, size);
		return fb;
	}
	size = (size + 15) & ~15UL;
	if ((current == NULL || current->r_size - current->r_used < size) && !more(size)) {
		lo_lost++;
		return NULL;
	}
	p = (char *)current + current->r_used;
	if (current->r_used < current->r_dirty)
		memset(p, 0, size);
	current->r_used += size;
	return p;
}

/* => only what has a power of two for a size is used again */
void
lo_free(void *p, size_t size)
{
	const int bits = log2_up(size);
	struct free_block *fb = p;

	if (p == NULL || size != 1UL << bits)
		return;
	fb->fb_next = freed[bits];
	freed[bits] = fb;
}

const char *
lo_strdup(const char *s)
{
	const size_t len = strlen(s) + 1;
	char *copy = lo_alloc(len);

	/* no memcpy(): race detectors see that one, and not the lock that who reads it has had */
	for (size_t i = 0; copy != NULL && i < len; i++)
		*(volatile char *)&copy[i] = s[i];
	return copy != NULL ? copy : "";
}

/* --- tables --- */

static int
chunk_of(uint32_t i)
{
	return 31 - __builtin_clz((i >> 8) + 1);
}

void *
lo_at(const struct lo_table *t, uint32_t i)
{
	const int c = chunk_of(i);

	/* acquire: pairs with lo_add(); a reader without the lock knows i from somewhere */
	return __atomic_load_n(&t->lt_chunk[c], __ATOMIC_ACQUIRE) +
	    (size_t)(i - (((1U << c) - 1) << 8)) * t->lt_size;
}

void *
lo_add(struct lo_table *t, uint32_t *i)
{
	const int c = chunk_of(t->lt_n);
	char *p;

	if (t->lt_chunk[c] == NULL) {
		p = lo_alloc((256UL << c) * t->lt_size);
		if (p == NULL)
			return NULL;
		__atomic_store_n(&t->lt_chunk[c], p, __ATOMIC_RELEASE);
	}
	*i = t->lt_n++;
	return lo_at(t, *i);
}

/* --- maps --- */

static uint32_t
slot_of(const struct lo_map *m, uint64_t key)
{
	uint32_t i = (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 32) & m->lm_mask;

	while (m->lm_slots[i].ls_value != 0 && m->lm_slots[i].ls_key != key)
		i = (i + 1) & m->lm_mask;
	return i;
}

uint32_t
lo_map_get(const struct lo_map *m, uint64_t key)
{
	return m->lm_slots == NULL ? NONE : m->lm_slots[slot_of(m, key)].ls_value - 1;
}

static bool
grow(struct lo_map *m)
{
	struct lo_map big = { .lm_mask = m->lm_slots == NULL ? 255 : m->lm_mask * 2 + 1 };

	big.lm_slots = lo_alloc((big.lm_mask + 1UL) * sizeof(struct lo_slot));
	if (big.lm_slots == NULL)
		return false;
	for (uint32_t i = 0; m->lm_slots != NULL && i <= m->lm_mask; i++)
		if (m->lm_slots[i].ls_value != 0)
			big.lm_slots[slot_of(&big, m->lm_slots[i].ls_key)] = m->lm_slots[i];
	lo_free(m->lm_slots, (m->lm_mask + 1UL) * sizeof(struct lo_slot));
	big.lm_n = m->lm_n;
	*m = big;
	return true;
}

void
lo_map_put(struct lo_map *m, uint64_t key, uint32_t value)
{
	if ((m->lm_slots == NULL || m->lm_n >= m->lm_mask / 4 * 3) && !grow(m) &&
	    (m->lm_slots == NULL || m->lm_n >= m->lm_mask))
		return;
	m->lm_slots[slot_of(m, key)] = (struct lo_slot){ key, value + 1 };
	m->lm_n++;
}
