/*
 * Event histories: what is kept, for how long, and in which order; what goes into the hash.
 */
#include <ktest_kern.h>
#include <string.h>
#include <sys/kernhist.h>

#define	EVENTS	64

static void
boot(int cpus_wanted, uint64_t events, bool hash)
{
	const struct kern_config kc = {
		.kc_ncpu = cpus_wanted, .kc_seed = 1, .kc_history = events, .kc_detail = true, .kc_hash = hash,
	};

	CHECK_EQ(kern_boot(&kc), 0);
}

/* => the newest event of CPU 0 */
static struct kern_history_ent
newest(void)
{
	struct kern_history_ent e;

	CHECK_EQ(kernhist_copy(&cpus[0], &e, 1), 1);
	return e;
}

KTEST(an_event_says_who_what_and_to_whom, "kind, LWP, CPU, subjects and word are kept, and read as a sentence")
{
	struct kern_history_ent e;
	char text[200];

	boot(1, EVENTS, false);
	kernhist_log(KE_pmap_enter, 17, 3, 0x123000 | 7 | 0x10);
	e = newest();
	CHECK_EQ(e.ke_kind, KE_pmap_enter);
	CHECK_EQ(e.ke_lwp, curlwp->l_id);
	CHECK_EQ(e.ke_cpu, 0);
	CHECK(e.ke_when != 0);
	kernhist_say(&e, text, sizeof(text));
	CHECK(strcmp(text, "pmap_enter page 17 pmap 3 at 0x123000, rights 7, wired") == 0);
	CHECK(kernhist_about(&e, KS_page, 17));
	CHECK(kernhist_about(&e, KS_pmap, 3));
	CHECK(!kernhist_about(&e, KS_page, 3));
	CHECK(!kernhist_about(&e, KS_pmap, 17));
	kernhist_say(&e, text, 12);			/* cut, not overrun */
	CHECK_EQ(strlen(text), 11);
	kern_shutdown();
}

KTEST(every_kind_has_a_sentence, "no kind is without a name, and all can be said in one line")
{
	struct kern_history_ent e = { .ke_when = 1, .ke_word = 0x1000, .ke_first = 1, .ke_second = 2 };
	char text[200];

	for (int i = 0; i < KE_COUNT; i++) {
		e.ke_kind = (uint8_t)i;
		kernhist_say(&e, text, sizeof(text));
		CHECK(strncmp(text, kernhist_kind_name((enum kern_event)i), strlen(kernhist_kind_name((enum kern_event)i))) == 0);
		CHECK(strlen(text) < sizeof(text) - 1 && text[strlen(text) - 1] != ' ');
	}
}

KTEST(the_newest_are_kept, "a ring that is full loses its oldest events, in order")
{
	static struct kern_history_ent ev[2 * EVENTS];

	boot(1, EVENTS, false);
	for (uint32_t i = 0; i < 5 * EVENTS / 2; i++)
		kernhist_log(KE_page_activate, i, 0, 0);
	CHECK_EQ(kernhist_copy(&cpus[0], ev, 2 * EVENTS), EVENTS);
	for (uint32_t i = 0; i < EVENTS; i++)
		CHECK_EQ(ev[i].ke_first, 3 * EVENTS / 2 + i);
	CHECK_EQ(kernhist_copy(&cpus[0], ev, 3), 3);
	CHECK_EQ(ev[0].ke_first, 5 * EVENTS / 2 - 3);
	kern_shutdown();
}

KTEST(off_is_off, "without rings nothing is written; a stop ends it")
{
	struct kern_history_ent e;

	boot(1, 0, false);
	kernhist_log(KE_page_activate, 1, 0, 0);
	CHECK_EQ(kernhist_copy(&cpus[0], &e, 1), 0);
	kern_shutdown();
	boot(1, EVENTS, false);
	kernhist_log(KE_page_activate, 1, 0, 0);
	kernhist_stop();
	kernhist_log(KE_page_activate, 2, 0, 0);
	CHECK_EQ(newest().ke_first, 1);
	kern_shutdown();
}

static void
handler(void *arg)
{
	kernhist_log(KE_page_wire, 77, 0, 0);
}

KTEST(an_interrupt_is_told_from_whom_it_interrupts, "delivery is an event, and what the handler does carries its depth")
{
	struct kern_history_ent ev[EVENTS];
	size_t n, seen = 0;

	boot(1, EVENTS, false);
	intr_establish(IRQ_DEVICE, IPL_VM, handler, NULL);
	intr_post(curcpu(), IRQ_DEVICE);
	intr_poll();
	kernhist_log(KE_page_wire, 78, 0, 0);
	n = kernhist_copy(&cpus[0], ev, EVENTS);
	for (size_t i = 0; i < n; i++) {
		if (ev[i].ke_kind == KE_interrupt && ev[i].ke_second == IRQ_DEVICE)
			seen |= 1;
		if (ev[i].ke_kind == KE_page_wire && ev[i].ke_first == 77 && ev[i].ke_intr == 1)
			seen |= 2;
		if (ev[i].ke_kind == KE_page_wire && ev[i].ke_first == 78 && ev[i].ke_intr == 0)
			seen |= 4;
	}
	CHECK_EQ(seen, 7);
	kern_shutdown();
}

KTEST(an_address_is_named_by_its_page, "of its map, of its pmap, of a range; of any map if that is asked; and no other page is")
{
	static const struct { enum kern_event kind; uint32_t first, second; uint64_t word; } named[] = {
		{ KE_fault_enter, 3, 1, 0x5123 }, { KE_mapping_asked, 3, 0, 0x5000 }, { KE_entry_remove, 3, 9, 0x5000 },
		{ KE_pmap_enter, 17, 4, 0x5000 | 7 }, { KE_pmap_remove, 4, 3, 0x3000 }, { KE_pmap_protect, 4, 1, 0x5000 | 1 },
	};

	boot(1, EVENTS, false);
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		struct kern_history_ent e;

		kernhist_log(named[i].kind, named[i].first, named[i].second, named[i].word);
		e = newest();
		CHECK(kernhist_at(&e, 3, 4, 0x5008));
		CHECK(!kernhist_at(&e, 3, 4, 0x6000));
		CHECK(!kernhist_at(&e, 3, 4, 0x2000));
		CHECK(!kernhist_at(&e, 5, 6, 0x5008));
		CHECK(kernhist_at(&e, KERNHIST_ANY, KERNHIST_ANY, 0x5008));
	}
	kern_shutdown();
}

static uint64_t
hash_of(const uint32_t *ids, int n)
{
	uint64_t before, after;

	boot(1, 0, true);
	before = kernhist_hash();
	for (int i = 0; i < n; i++)
		kernhist_log(KE_page_activate, ids[i], 0, 0);
	after = kernhist_hash();
	kern_shutdown();
	CHECK(after != before);
	return after;
}

KTEST(the_hash_is_of_events_and_their_order, "the same events, the same hash; another order or number, another one")
{
	const uint32_t ab[] = { 1, 2 }, ba[] = { 2, 1 };

	CHECK_EQ(hash_of(ab, 2), hash_of(ab, 2));
	CHECK(hash_of(ab, 2) != hash_of(ba, 2));
	CHECK(hash_of(ab, 2) != hash_of(ab, 1));
}

static bool over;			/* atomic */

/* Words and numbers of one event agree, so that a mixture of two shows. */
static void
write_pairs(void *arg)
{
	for (uint32_t i = 0; !__atomic_load_n(&over, __ATOMIC_RELAXED); i++) {
		kernhist_log(KE_page_unwire, i, ~i, (uint64_t)i << 32 | i);
		if (i % 256 == 0)
			lwp_userret(1);
	}
}

KTEST(rings_are_read_while_they_are_written, "what is copied is whole: no mixture of two events, and none from another CPU")
{
	static struct kern_history_ent ev[EVENTS];
	struct lwp *l[3];
	size_t whole = 0;

	boot(4, EVENTS, false);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "writer", write_pairs, NULL), 0);
		lwp_start(l[i]);
	}
	for (unsigned i = 0; i < ktest_scale(2000) || whole < 100; i++) {
		for (int c = 0; c < ncpu; c++) {
			size_t n = kernhist_copy(&cpus[c], ev, EVENTS);

			CHECK(n <= EVENTS);
			for (size_t k = 0; k < n; k++) {
				CHECK_EQ(ev[k].ke_cpu, c);
				if (ev[k].ke_kind != KE_page_unwire)
					continue;
				CHECK_EQ(ev[k].ke_second, (uint32_t)~ev[k].ke_first);
				CHECK_EQ(ev[k].ke_word, (uint64_t)ev[k].ke_first << 32 | ev[k].ke_first);
				whole++;
			}
		}
		lwp_userret(1);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++)
		lwp_wait(l[i]);
	kern_shutdown();
}

KTEST_MAIN()
