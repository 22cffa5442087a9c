/*
 * Event histories: the rings, the hash, and how an event reads.
 *
 * This file is bare (host/race.h): its readers look at rings that others write, and whatever
 * they miss or read twice is found out by the event itself (ke_when), not by an order of memory.
 */
#define	KERNHIST_HERE			/* a build of ThreadSanitizer's has kernhist_write() here */
#include <errno.h>
#include <string.h>

#include <sys/kernhist.h>
#include <sys/lockdebug.h>

#include "kern_int.h"

const char *const kern_subject_name[KS_COUNT] = {
	[KS_none] = "", [KS_page] = "page", [KS_anon] = "anon", [KS_amap] = "amap", [KS_map] = "map",
	[KS_object] = "object", [KS_pmap] = "pmap", [KS_lwp] = "LWP", [KS_cpu] = "CPU",
	[KS_slot] = "swap slot", [KS_pool] = "pool", [KS_proc] = "process",
	[KS_va] = "address",
};

static const struct {
	const char *name;
	enum kern_subject first, second;
} kinds[KE_COUNT] = {
#define	KERN_EVENT(name, when, first, second, ...)	{ #name, KS_##first, KS_##second },
#include <sys/kernhist.def>
#undef KERN_EVENT
};

/* WORD of fault_exit */
static const char *const kernhist_fault_case[8] = {
	"not resolved", "case 1A", "case 1B", "case 2A", "case 2B", "zero-fill", "by the object", "?",
};

struct kernhist kernhist;

static char *rings;			/* stable: ncpu of ring_bytes */
static size_t ring_bytes;		/* stable */
static uint64_t hash;			/* @ by the one LWP that runs */
static uint64_t boot_ticks, boot_ns;	/* stable */

/* --- the rings --- */

int
kernhist_boot(uint64_t events, bool detail, bool fold)
{
	uint64_t size = 1;

	while (size < events)
		size *= 2;
	boot_ticks = host_ticks();
	boot_ns = host_wall_ns();
	hash = 0;
	kernhist.kinds = 0;
	kernhist.mask = size * sizeof(struct kern_history_ent) - 1;
	kernhist.fold = fold;
	rings = NULL;
	if (events == 0 && !fold)
		return 0;
	ring_bytes = (sizeof(struct kern_history) + size * sizeof(struct kern_history_ent) + 4095) & ~(size_t)4095;
	rings = host_mem_map_bare(ring_bytes * (size_t)ncpu);
	if (rings == NULL)
		return ENOMEM;
	for (int i = 0; i < ncpu; i++)
		cpus[i].ci_history = (struct kern_history *)(void *)(rings + (size_t)i * ring_bytes);
	kernhist.kinds = fold ? 0 : detail ? UINT64_MAX : ~kernhist_detail;
	return 0;
}

void
kernhist_stop(void)
{
	__atomic_store_n(&kernhist.kinds, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&kernhist.fold, false, __ATOMIC_RELAXED);
}

void
kernhist_fini(void)
{
	kernhist_stop();
	if (rings != NULL)
		host_mem_unmap(rings, ring_bytes * (size_t)ncpu);
	rings = NULL;
}

/* --- the hash --- */

void
kernhist_fold(uint64_t word)
{
	/* splitmix64's finalizer over the sum: every bit of every word counts, and so does the order */
	uint64_t h = __atomic_load_n(&hash, __ATOMIC_RELAXED) + word + 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	__atomic_store_n(&hash, h ^ h >> 31, __ATOMIC_RELAXED);
}

void
kernhist_fold_event(struct cpu_info *ci, uint32_t lwp, enum kern_event kind, uint32_t first,
    uint32_t second, uint64_t word)
{
	kernhist_fold((uint64_t)kind << 48 | (uint64_t)(unsigned)ci->ci_index << 32 | lwp);
	kernhist_fold((uint64_t)first << 32 | second);
	kernhist_fold(word);
	/* Among the schedule's own events, for the place where two runs part. */
	host_event(HP_KERN, (uint32_t)kind << 24 | (uint32_t)(kernhist_hash() & 0xffffff));
	kernhist_write(ci, lwp, kind, first, second, word);
	if (__builtin_expect(kernhist.told != NULL, 0))
		kernhist.told(&(struct kern_history_ent){
		    .ke_word = word, .ke_first = first, .ke_second = second, .ke_lwp = lwp, .ke_kind = (uint8_t)kind,
		    .ke_intr = (uint8_t)ci->ci_idepth, .ke_cpu = (uint16_t)ci->ci_index });
}

uint64_t
kernhist_hash(void)
{
	return __atomic_load_n(&hash, __ATOMIC_RELAXED);
}

/* --- reading --- */

/*
 * => *out is the event in that place, whole; false: it is being written, or has been overwritten.
 *    Slots are taken in order and get their time last: one with a time before its predecessor's
 *    still has that of a lap ago.
 */
static bool
take(const struct kern_history *kh, uint64_t at, uint64_t since, struct kern_history_ent *out)
{
	const struct kern_history_ent *ke = (const void *)((const char *)kh->kh_ents + (at & kernhist.mask));
	/* acquire: pairs with the release in kernhist_write() */
	uint64_t when = __atomic_load_n(&ke->ke_when, __ATOMIC_ACQUIRE);

	if (when == 0 || when < since)
		return false;
	*out = *ke;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&kh->kh_bytes, __ATOMIC_RELAXED) <= at + kernhist.mask + 1 &&
	    out->ke_when == when && out->ke_kind < KE_COUNT;
}

size_t
kernhist_copy(const struct cpu_info *ci, struct kern_history_ent *buf, size_t max)
{
	const uint64_t size = sizeof(*buf);
	const struct kern_history *kh = ci->ci_history;
	uint64_t end, at, since = 0;
	size_t got = 0;

	if (kh == NULL || rings == NULL)
		return 0;
	if (max > (kernhist.mask + 1) / size)
		max = (kernhist.mask + 1) / size;
	end = __atomic_load_n(&kh->kh_bytes, __ATOMIC_ACQUIRE);
	for (at = end > max * size ? end - max * size : 0; at < end; at += size)
		if (take(kh, at, since, &buf[got])) {
			since = buf[got].ke_when;
			buf[got++].ke_cpu = (uint16_t)ci->ci_index;
		}
	return got;
}

/* --- telling --- */

static size_t
add(char *buf, size_t len, size_t used, enum kern_subject ks, uint32_t id)
{
	int n;

	if (ks == KS_none || used >= len)
		return used;
	n = snprintf(buf + used, len - used, " %s %u", kern_subject_name[ks], id);
	return n > 0 ? used + (size_t)n : used;
}

#define	FIRST	ke->ke_first
#define	SECOND	ke->ke_second
#define	WORD	(unsigned long)ke->ke_word

void
kernhist_say(const struct kern_history_ent *ke, char *buf, size_t len)
{
	size_t used;

	if (ke->ke_kind >= KE_COUNT) {
		snprintf(buf, len, "?");
		return;
	}
	used = (size_t)snprintf(buf, len, "%s", kinds[ke->ke_kind].name);
	used = add(buf, len, used, kinds[ke->ke_kind].first, ke->ke_first);
	used = add(buf, len, used, kinds[ke->ke_kind].second, ke->ke_second);
	if (used + 2 >= len)
		return;
	buf[used++] = ' ';
	switch ((enum kern_event)ke->ke_kind) {
#define	KERN_EVENT(name, when, first, second, ...)					\
	case KE_##name:								\
		snprintf(buf + used, len - used, __VA_ARGS__);			\
		break;
#include <sys/kernhist.def>
#undef KERN_EVENT
	case KE_COUNT:
		break;
	}
	if (buf[used] == '\0')
		buf[used - 1] = '\0';
}

bool
kernhist_about(const struct kern_history_ent *ke, enum kern_subject ks, uint32_t id)
{
	return (kinds[ke->ke_kind].first == ks && ke->ke_first == id) ||
	    (kinds[ke->ke_kind].second == ks && ke->ke_second == id) ||
	    (ks == KS_lwp && ke->ke_lwp == id && ke->ke_intr == 0);
}

bool
kernhist_at(const struct kern_history_ent *ke, uint32_t map, uint32_t pmap, uint64_t va)
{
	const uint64_t page = va >> 12, at = ke->ke_word >> 12;
	const bool any = map == KERNHIST_ANY;

	switch ((enum kern_event)ke->ke_kind) {
	case KE_fault_enter:
	case KE_fault_done:
	case KE_fault_exit:
	case KE_entry_insert:
	case KE_entry_remove:
	case KE_mapping_asked:
		return (any || ke->ke_first == map) && at == page;
	case KE_pmap_enter:
		return (any || ke->ke_second == pmap) && at == page;
	case KE_pmap_remove:
	case KE_pmap_protect:
		return (any || ke->ke_first == pmap) && page >= at && page - at < ke->ke_second;
	default:
		return false;
	}
}

void
kernhist_subjects(enum kern_event kind, enum kern_subject *first, enum kern_subject *second)
{
	*first = kinds[kind].first;
	*second = kinds[kind].second;
}

const char *
kernhist_kind_name(enum kern_event kind)
{
	return kinds[kind].name;
}

double
kernhist_tick_ns(void)
{
	const uint64_t passed = host_ticks() - boot_ticks;

	return passed == 0 ? 0 : (double)(host_wall_ns() - boot_ns) / (double)passed;
}
