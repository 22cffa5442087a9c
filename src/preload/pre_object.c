/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Which lock is at an address.
 *
 * A lock that was initialised by a call is new from then on.  Its class is the kind, the place
 * of that call and the functions that called there, since programs wrap the call: the locks
 * that a wrapper makes have as many roles as it has callers.  One that was not initialised
 * (PTHREAD_MUTEX_INITIALIZER, zeroed memory, C++'s std::mutex) is made at its first use; in a
 * module's data it is a class by itself, elsewhere its class is the place of that use.
 *
 * But objects of one type may be made along different ways, and be locked in the order of
 * their addresses.  So classes of one place are a family: there is no order between them,
 * their locks are judged one by one.  So are all locks that nobody initialised, outside of
 * modules' data: nothing says of what type they are.
 *
 * The table is hashed by blocks of 64 bytes, so that what lies in freed memory is found
 * without looking at every lock; a page that never had one is known by a count.  A look
 * takes no lock: records are never unmapped, and one that has moved to another chain
 * meanwhile only sends the look the slow way.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "pre_int.h"

#define HASH_BITS  16
#define PAGE_BITS  16
#define CLASS_HASH 1024
#define BLOCK	   6			/* log2 */
#define PAGE	   12
#define FRAMES	   3			/* of a creation, that make the class */

static struct pre_lock lock;
static struct pre_object *table[1 << HASH_BITS];	/* o */
static uint16_t pages[1 << PAGE_BITS];			/* a: living objects; stays at its maximum */
static struct pre_object *spare;			/* o */
static struct pre_class *classes[CLASS_HASH];		/* o */
static uint32_t births;					/* o */
unsigned pre_objects_live;

static const char *const kind_name[PRE_NKINDS] = {
	[PRE_MUTEX] = "mutex", [PRE_RWLOCK] = "rwlock", [PRE_SPIN] = "spin", [PRE_COND] = "cond",
	[PRE_SEM] = "sem",
};

/* --- memory for ever --- */

static struct pre_lock arena_lock;

void *
pre_alloc(size_t size)
{
	static char *at, *end;			/* arena_lock */
	void *p = NULL;

	size = (size + 15) & ~(size_t)15;
	pre_lock(&arena_lock);
	if ((size_t)(end - at) < size) {
		const size_t chunk = size > 1 << 20 ? size : 1 << 20;

		at = mmap(NULL, chunk, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (at == MAP_FAILED)
			at = NULL;
		end = at != NULL ? at + chunk : NULL;
	}
	if (at != NULL) {
		p = at;
		at += size;
	}
	pre_unlock(&arena_lock);
	return p;
}

const char *
pre_strdup(const char *s)
{
	const size_t len = strlen(s) + 1;
	char *copy = pre_alloc(len);

	return copy != NULL ? memcpy(copy, s, len) : "?";
}

/* --- classes --- */

/* What is waited for; each has a node of its own, made when it is needed. */
static bool
is_event(enum pre_kind kind)
{
	return kind == PRE_COND || kind == PRE_SEM;
}

static uint64_t
mix(uint64_t k, uint64_t v)
{
	k = (k ^ v) * 0x9e3779b97f4a7c15ULL;
	return k ^ k >> 29;
}

/* A name is a class's own: a second class of that name gets a number. */
static const char *
unique_name(const char *name)
{
	unsigned same = 1;
	char buf[280];
	size_t len = strlen(name);

	for (unsigned i = 0; i < CLASS_HASH; i++)
		for (const struct pre_class *pc = classes[i]; pc != NULL; pc = pc->pc_next)
			if (strncmp(pc->pc_name, name, len) == 0 &&
			    (pc->pc_name[len] == '\0' || pc->pc_name[len] == '#'))
				same++;
	if (same == 1)
		return pre_strdup(name);
	snprintf(buf, sizeof(buf), "%s#%u", name, same);
	return pre_strdup(buf);
}

static struct pre_class *
find_class(uint64_t key)
{
	struct pre_class *pc = classes[key % CLASS_HASH];

	while (pc != NULL && pc->pc_key != key)
		pc = pc->pc_next;
	return pc;
}

/* o => the family that a new class belongs to: that of an older one, or its own */
static void
join_family(struct pre_class *pc)
{
	pc->pc_family = pc;
	for (unsigned i = 0; i < CLASS_HASH; i++)
		for (struct pre_class *other = classes[i]; other != NULL; other = other->pc_next)
			if (other->pc_place == pc->pc_place)
				pc->pc_family = other->pc_family;
	if (pc->pc_node != LOCKGRAPH_NONE)
		lockorder_family(pc->pc_node, pc->pc_family->pc_node + 1);
}

/* => the class, with one lock more; name is used if it is new.  Takes the lock. */
static struct pre_class *
count_class(uint64_t key, uint64_t place, enum pre_kind kind, const char *name, const void *where)
{
	struct pre_class *pc;

	pre_lock(&lock);
	pc = find_class(key);
	if (pc == NULL && (pc = pre_alloc(sizeof(*pc))) != NULL) {
		pc->pc_key = key;
		pc->pc_place = place;
		pc->pc_kind = kind;
		pc->pc_name = unique_name(name);
		pc->pc_node = is_event(kind) ? LOCKGRAPH_NONE :
		    lockorder_class(pc->pc_name, LOCKGRAPH_LOCK, 0, LO_NEST_ANY, 0, where);
		join_family(pc);
		pc->pc_next = classes[key % CLASS_HASH];
		classes[key % CLASS_HASH] = pc;
	}
	if (pc != NULL) {
		pc->pc_locks++;
		pc->pc_family->pc_members++;
	}
	pre_unlock(&lock);
	return pc != NULL && (is_event(kind) || pc->pc_node != LOCKGRAPH_NONE) ? pc : NULL;
}

static bool
known_class(uint64_t key)
{
	bool known;

	pre_lock(&lock);
	known = find_class(key) != NULL;
	pre_unlock(&lock);
	return known;
}

/* => who is where, innermost first: the first by place, the others by function */
static uint64_t
mix_frames(uint64_t key, void *const *pcs, int n)
{
	for (int i = 0; i < n; i++)
		key = mix(key, (uintptr_t)(i == 0 ? pcs[i] : pre_function(pcs[i])));
	return key;
}

static void
name_frames(char *name, size_t len, enum pre_kind kind, const char *how, void *const *pcs, int n)
{
	char at[120];

	snprintf(name, len, "%s@%s", kind_name[kind], how);
	for (int i = 0; i < n && i < 2; i++) {
		const size_t used = strlen(name);

		pre_symbol(pcs[i], false, at, sizeof(at));
		snprintf(name + used, len - used, "%s%s", i != 0 ? "<" : "", at);
	}
}

/* The class of what is being initialised by a call. */
static struct pre_class *
class_by_creation(enum pre_kind kind)
{
	void *pcs[FRAMES];
	const int n = pre_backtrace(pcs, FRAMES, 0);
	const uint64_t place = mix(kind + 1, n > 0 ? (uintptr_t)pcs[0] : 0),
	    key = mix_frames(kind + 1, pcs, n);
	char name[280] = "";

	if (!known_class(key))
		name_frames(name, sizeof(name), kind, "", pcs, n);
	return count_class(key, place, kind, name, n > 0 ? pcs[0] : NULL);
}

/* The class of what nobody initialised. */
static struct pre_class *
class_by_use(enum pre_kind kind, const void *addr, const void *where, bool *elsewhere)
{
	void *pcs[FRAMES];
	const char *path;
	uint64_t offset, key, place;
	char name[280] = "";
	int n;

	if (pre_module(addr, &path, &offset)) {
		key = place = mix(100 + kind, (uintptr_t)addr);
		if (!known_class(key))
			pre_symbol(addr, true, name, sizeof(name));
		return count_class(key, place, kind, name, where);
	}
	n = pre_backtrace(pcs, FRAMES, 0);
	*elsewhere = true;
	place = mix(200 + kind, 0);
	key = mix_frames(200 + kind, pcs, n);
	if (!known_class(key))
		name_frames(name, sizeof(name), kind, "use:", pcs, n);
	return count_class(key, place, kind, name, where);
}

/* --- objects --- */

static unsigned
bucket(const void *addr)
{
	return (unsigned)(((uintptr_t)addr >> BLOCK) * 0x9e3779b97f4a7c15ULL >> (64 - HASH_BITS));
}

static uint16_t *
page_count(uintptr_t addr)
{
	return &pages[addr >> PAGE & ((1 << PAGE_BITS) - 1)];
}

struct pre_object *
pre_object_find(const void *addr)
{
	struct pre_object *o;

	/* acquire: pairs with the release in link_object(); what it is, is there to be read */
	for (o = __atomic_load_n(&table[bucket(addr)], __ATOMIC_ACQUIRE); o != NULL;
	    o = __atomic_load_n(&o->po_next, __ATOMIC_ACQUIRE))
		if (__atomic_load_n(&o->po_addr, __ATOMIC_RELAXED) == addr)
			return o;
	return NULL;
}

struct pre_object *
pre_object_sure(const void *addr)
{
	struct pre_object *o;

	pre_lock(&lock);
	o = pre_object_find(addr);
	pre_unlock(&lock);
	return o;
}

static void
link_object(struct pre_object *o)
{
	struct pre_object **head = &table[bucket(o->po_addr)];
	uint16_t *count = page_count((uintptr_t)o->po_addr);

	__atomic_store_n(&o->po_next, *head, __ATOMIC_RELEASE);
	__atomic_store_n(head, o, __ATOMIC_RELEASE);
	if (*count != UINT16_MAX)
		__atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&pre_objects_live, 1, __ATOMIC_RELAXED);
}

void
pre_object_retire(struct pre_object *o)
{
	struct pre_object **link;
	uint16_t *count;

	pre_event_forget(o);
	pre_lock(&lock);
	if (o->po_addr != NULL) {
		count = page_count((uintptr_t)o->po_addr);
		for (link = &table[bucket(o->po_addr)]; *link != NULL; link = &(*link)->po_next)
			if (*link == o) {
				__atomic_store_n(link, o->po_next, __ATOMIC_RELEASE);
				break;
			}
		__atomic_store_n(&o->po_addr, NULL, __ATOMIC_RELAXED);
		o->po_class->pc_taken += o->po_taken;
		if (*count != UINT16_MAX)
			__atomic_store_n(count, *count - 1, __ATOMIC_RELAXED);
		__atomic_fetch_sub(&pre_objects_live, 1, __ATOMIC_RELAXED);
		o->po_next = spare;
		spare = o;
	}
	pre_unlock(&lock);
}

/* => found by somebody else meanwhile, or made */
static struct pre_object *
make(const void *addr, enum pre_kind kind, struct pre_class *pc)
{
	struct pre_object *o;

	if (pc == NULL)
		return NULL;
	pre_lock(&lock);
	if ((o = pre_object_find(addr)) == NULL) {
		if ((o = spare) != NULL)
			spare = o->po_next;
		pre_unlock(&lock);
		if (o == NULL && (o = pre_alloc(sizeof(*o))) == NULL)
			return NULL;
		pre_lock(&lock);
		memset(o, 0, sizeof(*o));
		o->po_class = pc;
		o->po_kind = (uint8_t)kind;
		o->po_node = LOCKGRAPH_NONE;
		o->po_id = ++births;
		__atomic_store_n(&o->po_addr, addr, __ATOMIC_RELAXED);
		link_object(o);
		if (!is_event(kind))
			lockorder_born(pc->pc_node, o->po_id);
	}
	pre_unlock(&lock);
	return o;
}

struct pre_object *
pre_object_init(struct pre_thread *t, const void *addr, enum pre_kind kind)
{
	struct pre_object *o = pre_object_find(addr);

	if (o != NULL)
		pre_object_retire(o);
	return make(addr, kind, class_by_creation(kind));
}

struct pre_object *
pre_object(struct pre_thread *t, const void *addr, enum pre_kind kind, const void *where)
{
	struct pre_object **slot = &t->pt_cache[((uintptr_t)addr >> 3 ^ (uintptr_t)addr >> 10) %
	    PRE_CACHE], *o = *slot;

	if (o != NULL && __atomic_load_n(&o->po_addr, __ATOMIC_RELAXED) == addr &&
	    o->po_kind == kind)
		return o;
	o = pre_object_find(addr);
	if (o != NULL && o->po_kind != kind) {		/* the memory has another use now */
		pre_object_retire(o);
		o = NULL;
	}
	if (o == NULL) {
		bool elsewhere = false;

		o = make(addr, kind, class_by_use(kind, addr, where, &elsewhere));
		if (o != NULL)
			o->po_marked = elsewhere && kind == PRE_MUTEX;
	}
	if (o != NULL)
		*slot = o;
	return o;
}

bool
pre_object_maybe(const char *base, size_t size)
{
	const uintptr_t first = (uintptr_t)base >> PAGE, last = ((uintptr_t)base + size - 1) >> PAGE;

	for (uintptr_t page = first; page <= last; page++)
		if (__atomic_load_n(page_count(page << PAGE), __ATOMIC_RELAXED) != 0)
			return true;
	return false;
}

void
pre_object_range(const char *base, size_t size, void (*fn)(struct pre_object *, void *), void *arg)
{
	const uintptr_t from = (uintptr_t)base, to = from + size;
	uintptr_t block = from & ~(((uintptr_t)1 << BLOCK) - 1);

	while (block < to) {
		struct pre_object *o, *next;

		if (__atomic_load_n(page_count(block), __ATOMIC_RELAXED) == 0) {
			block = (block >> PAGE << PAGE) + (1 << PAGE);
			continue;
		}
		for (o = table[bucket((void *)block)]; o != NULL; o = next) {
			next = o->po_next;
			if ((uintptr_t)o->po_addr >= from && (uintptr_t)o->po_addr < to)
				fn(o, arg);
		}
		block += 1 << BLOCK;
	}
}

/* --- nodes --- */

uint32_t
pre_object_own_node(struct pre_object *o)
{
	uint32_t node = __atomic_load_n(&o->po_node, __ATOMIC_RELAXED);
	char name[320];

	if (node != LOCKGRAPH_NONE)
		return node;
	pre_lock(&lock);
	if (o->po_node == LOCKGRAPH_NONE) {
		if (is_event(o->po_kind) && o->po_class->pc_locks == 1)
			snprintf(name, sizeof(name), "%s", o->po_class->pc_name);
		else
			snprintf(name, sizeof(name), "%s[%u]", o->po_class->pc_name, o->po_id);
		o->po_node = lockorder_class(name, is_event(o->po_kind) ?
		    LOCKGRAPH_EVENT : LOCKGRAPH_INSTANCE, 0, LO_NEST_ANY, 0, NULL);
	}
	node = o->po_node;
	pre_unlock(&lock);
	return node;
}

uint32_t
pre_object_node(struct pre_object *o)
{
	if (o->po_class->pc_locks == 1 && !is_event(o->po_kind))
		return o->po_class->pc_node;
	return pre_object_own_node(o);
}

void
pre_object_events(void (*fn)(struct pre_object *))
{
	for (unsigned i = 0; i < 1u << HASH_BITS; i++)
		for (struct pre_object *o = table[i]; o != NULL; o = o->po_next)
			if (o->po_event != NULL && o->po_addr != NULL)
				fn(o);
}

void
pre_object_count(void)
{
	pre_lock(&lock);
	for (unsigned i = 0; i < CLASS_HASH; i++)
		for (struct pre_class *pc = classes[i]; pc != NULL; pc = pc->pc_next)
			pc->pc_total = pc->pc_taken;
	for (unsigned i = 0; i < 1u << HASH_BITS; i++)
		for (const struct pre_object *o = table[i]; o != NULL; o = o->po_next)
			o->po_class->pc_total += o->po_taken;
	pre_unlock(&lock);
}

/* For lockorder_export(). */
void
pre_object_stat(uint32_t node, struct lockgraph_class *lgc)
{
	for (unsigned i = 0; i < CLASS_HASH; i++)
		for (const struct pre_class *pc = classes[i]; pc != NULL; pc = pc->pc_next)
			if (pc->pc_node == node)
				lgc->lgc_acquisitions = pc->pc_total;
}

bool
pre_objects_busy(void)
{
	return __atomic_load_n(&lock.l_word, __ATOMIC_RELAXED) != 0 ||
	    __atomic_load_n(&arena_lock.l_word, __ATOMIC_RELAXED) != 0;
}
