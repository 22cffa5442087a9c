/*
 * Sending from pages on loan.  nic_transmit() is the linker's wrapper: it can keep packets
 * back, so that something may happen to their pages before they leave.
 */
#include "tmap.h"

#include <errno.h>
#include <machine/nic.h>
#include <string.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_sosend.h>

#define	NPAGES	4096

int	__real_nic_transmit(struct nic_packet *);
int	__wrap_nic_transmit(struct nic_packet *);

static struct {
	bool	keep;			/* packets are kept back */
	int	full;			/* so often the ring is full */
	int	n;
	struct nic_packet *kept[128];
} nic;

int
__wrap_nic_transmit(struct nic_packet *np)
{
	if (nic.full > 0) {
		nic.full--;
		return ENOBUFS;
	}
	if (!nic.keep)
		return __real_nic_transmit(np);
	CHECK(nic.n < 128);
	nic.kept[nic.n++] = np;
	return 0;
}

static void
nic_go(void)
{
	nic.keep = false;
	for (int i = 0; i < nic.n; i++) {
		while (__real_nic_transmit(nic.kept[i]) == ENOBUFS)
			kpause("nic", 1000000);
		intr_poll();
	}
	nic.n = 0;
}

/* Word i of the buffer at page 0 is seed + i. */
static void
fill(int n, uint64_t seed)
{
	for (uint64_t i = 0; i < ptoa((uint64_t)n) / 8; i++)
		CHECK_EQ(user_store(TM_VA(0) + i * 8, seed + i), 0);
}

/* => the sum of [off, off+len) of such a buffer */
static uint64_t
expect(uint64_t seed, uint64_t off, uint64_t len)
{
	struct nic_sum ns;

	nic_sum_init(&ns);
	for (uint64_t i = off / 8; i < (off + len) / 8; i++) {
		uint64_t w = seed + i;

		nic_sum_add(&ns, &w, sizeof(w));
	}
	return nic_sum_value(&ns);
}

static void
begin(int ncpus, int n)
{
	tm_boot(ncpus, NPAGES);
	for (int i = 0; i < n; i++)
		CHECK_EQ(tm_put_at(tm_proc, i, 1, 'a'), 0);
	fill(n, 1000);
}

static void
end(void)
{
	uvm_loanfree_drain();
	CHECK(uvm_sosend_idle());
	CHECK_EQ(uvm_sosend_kva(NULL), 0);
	CHECK_EQ(uvm.orphans, 0);
	CHECK_EQ(mb_map->size, 0);
	tm_shutdown();
}

static struct so_send ss;

static void
send(uint64_t off, uint64_t len, int flags)
{
	CHECK_EQ(sys_send(tm_proc, TM_VA(0) + off, len, flags, &ss), 0);
}

KTEST(whole_pages_are_sent_on_loan, "the packet is the memory itself, wired and mapped in mb_map until it has left")
{
	struct vm_page *pg;

	begin(1, 4);
	pg = tm_page(tm_proc, 1);
	nic.keep = true;
	send(0, ptoa(4), 0);
	CHECK(pg->loan_count == 1 && pg->wire_count == 1);
	CHECK_EQ(uvm_sosend_kva(NULL), ptoa(4));
	CHECK(nic.kept[0]->np_nsegs == 4 && nic.kept[0]->np_segs[1].ns_pa == VM_PAGE_TO_PHYS(pg));
	nic_go();
	so_send_wait(&ss);
	CHECK(ss.ss_sum == expect(1000, 0, ptoa(4)) && ss.ss_loaned == ptoa(4));
	uvm_loanfree_drain();
	CHECK(pg->loan_count == 0 && pg->wire_count == 0);
	CHECK(tu_count(UVMC_so_loaned) == 1 && tu_count(UVMC_loan_deferred) == 1);
	end();
}

KTEST(I_LOAN_3_wire_has_what_was_sent, "memory is stored to, unmapped, forked before the packet leaves; the wire has the old content")
{
	struct proc *child;

	begin(2, 4);
	nic.keep = true;
	send(0, ptoa(4), 0);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(0, 1);
	tm_store_in(child, 1, 2);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), ptoa(1)), 0);
	nic_go();
	so_send_wait(&ss);
	CHECK_EQ(ss.ss_sum, expect(1000, 0, ptoa(4)));
	proc_exit(child);
	end();
}

KTEST(head_and_tail_are_copied, "a buffer that begins and ends in the middle of pages: those bytes go to clusters")
{
	begin(1, 4);
	send(4000, ptoa(2) + 200, 0);
	so_send_wait(&ss);
	CHECK(ss.ss_sum == expect(1000, 4000, ptoa(2) + 200) && ss.ss_loaned == ptoa(2));
	send(8, 64, 0);				/* no whole page */
	so_send_wait(&ss);
	CHECK(ss.ss_sum == expect(1000, 8, 64) && ss.ss_loaned == 0);
	send(8, ptoa(2), SO_SEND_COPY);
	so_send_wait(&ss);
	CHECK(ss.ss_sum == expect(1000, 8, ptoa(2)) && ss.ss_loaned == 0);
	end();
}

KTEST(what_cannot_be_lent_is_copied, "wired memory is sent as well")
{
	begin(1, 4);
	CHECK_EQ(sys_mlock(tm_proc, TM_VA(2), ptoa(1)), 0);
	send(0, ptoa(4), 0);
	so_send_wait(&ss);
	CHECK(ss.ss_sum == expect(1000, 0, ptoa(4)) && ss.ss_loaned == 0);
	CHECK(tu_count(UVMC_so_copied) == 1 && tu_count(UVMC_loan_refused) == 1);
	CHECK_EQ(sys_munlock(tm_proc, TM_VA(2), ptoa(1)), 0);
	end();
}

KTEST(sends_that_fail_leave_nothing, "EINVAL, EMSGSIZE, EFAULT: no page on loan, no address, no mbuf")
{
	begin(1, 3);
	CHECK_EQ(sys_send(tm_proc, TM_VA(0) + 4, 8, 0, &ss), EINVAL);
	CHECK_EQ(sys_send(tm_proc, TM_VA(0), 0, 0, &ss), EINVAL);
	CHECK_EQ(sys_send(tm_proc, TM_VA(0), SO_SEND_MAX + 8, 0, &ss), EMSGSIZE);
	CHECK_EQ(sys_send(tm_proc, TM_VA(0), ptoa(4), 0, &ss), EFAULT);
	/* a hole in the head, or in the tail: after the loan was made */
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(1)), 0);
	CHECK_EQ(sys_send(tm_proc, TM_VA(0) + 8, ptoa(2), 0, &ss), EFAULT);
	CHECK_EQ(sys_send(tm_proc, TM_VA(2), ptoa(1) + 8, 0, &ss), EFAULT);
	end();
}

KTEST(T59_I_KM_5_end_in_interrupt_while_kernel_map_is_held, "the interrupt finds kernel_map and the page's owner locked, and leaves both to the loanfree LWP")
{
	struct vm_page *pg;

	begin(1, 2);
	pg = tm_page(tm_proc, 0);
	nic.keep = true;
	send(0, ptoa(2), 0);
	vm_map_lock(mb_map);
	mutex_enter(&pg->uanon->an_lock);
	nic_go();				/* on this CPU, now */
	splx(splhigh());			/* and over */
	CHECK(ss.ss_done && tu_count(UVMC_loan_deferred) == 1);
	CHECK(pg->loan_count == 1);
	mutex_exit(&pg->uanon->an_lock);
	vm_map_unlock(mb_map);
	end();
	CHECK_EQ(ss.ss_sum, expect(1000, 0, ptoa(2)));
}

KTEST(I_LOAN_8_windows_have_a_limit, "when addresses are used up packets are copied; all come back")
{
	static struct so_send many[80];
	vsize_t limit;

	begin(1, 8);
	(void)uvm_sosend_kva(&limit);
	nic.keep = true;
	for (int i = 0; i < 80; i++) {
		CHECK_EQ(sys_send(tm_proc, TM_VA(0), SO_SEND_MAX, 0, &many[i]), 0);
		CHECK(uvm_sosend_kva(NULL) <= limit);
	}
	CHECK(limit / SO_SEND_MAX < 80 && tu_count(UVMC_so_nowindow) == 80 - limit / SO_SEND_MAX);
	CHECK_EQ(tu_count(UVMC_so_copied), tu_count(UVMC_so_nowindow));
	nic_go();
	for (int i = 0; i < 80; i++) {
		so_send_wait(&many[i]);
		CHECK_EQ(many[i].ss_sum, expect(1000, 0, SO_SEND_MAX));
	}
	end();
}

KTEST(full_ring_is_waited_for, "a packet that the interface has no room for is sent later")
{
	begin(1, 2);
	nic.full = 3;
	send(0, ptoa(2), 0);
	so_send_wait(&ss);
	CHECK_EQ(tu_count(UVMC_so_ringfull), 3);
	end();
}

KTEST(I_LOAN_3_change_on_the_wire_is_reported, "a frame that changes while its packet is on its way is a content violation")
{
	struct vm_page *pg;
	int s;

	begin(1, 2);
	tm_collect();
	pg = tm_page(tm_proc, 0);
	nic.keep = true;
	send(0, ptoa(2), 0);
	s = splvm();
	CHECK_EQ(__real_nic_transmit(nic.kept[0]), 0);
	tu_words(pg)[8] = 1;
	splx(s);
	so_send_wait(&ss);
	CHECK_STR(tm_seen, "I-LOAN-3 I-LOAN-3");	/* the interface's and the window's */
	end();
}

KTEST_DEATH(R6_window_that_is_revoked, "a window onto a page on loan that is gone when the packet leaves is the end", "interrupt|R6")
{
	begin(1, 2);
	nic.keep = true;
	send(0, ptoa(2), 0);
	pmap_kremove(vm_map_min(mb_map), ptoa(1));
	pmap_update(pmap_kernel());
	nic_go();
}

KTEST_DEATH(I_LOAN_8_window_left_at_shutdown, "a packet that never leaves is a leak", "I-LOAN-8|on their way")
{
	begin(1, 2);
	nic.keep = true;
	send(0, ptoa(2), 0);
	proc_attach(NULL);
	proc_exit(tm_proc);
	(void)uvm_shutdown();
}

/* --- with everything at once --- */

static void
sender(struct tm_thread *tt)
{
	vaddr_t va = TM_VA(tt->tt_number * 4);
	uint64_t seed = (uint64_t)tt->tt_number << 32, n = 0;
	struct so_send mine;

	for (unsigned r = 0; r < ktest_scale(300); r++) {
		for (uint64_t i = 0; i < ptoa(4) / 8; i += 16)
			CHECK_EQ(user_store(va + i * 8, seed + n + i), 0);
		CHECK_EQ(sys_send(tm_proc, va, ptoa(4), 0, &mine), 0);
		CHECK_EQ(user_store(va + (r % 32) * 512, r), 0);	/* on its way, perhaps */
		so_send_wait(&mine);
		{
			struct nic_sum ns;

			nic_sum_init(&ns);
			for (uint64_t i = 0; i < ptoa(4) / 8; i++) {
				uint64_t w = i % 16 == 0 ? seed + n + i : 0;

				nic_sum_add(&ns, &w, sizeof(w));
			}
			CHECK_EQ(mine.ss_sum, nic_sum_value(&ns));
		}
		n += 7;
		tm_go_on(tt);
	}
}

KTEST(T54_senders_on_all_cpus, "four threads send and store; each packet has what its memory held, and every page is returned once")
{
	struct tm_thread tt[4];

	tm_boot(4, NPAGES);
	for (int i = 0; i < 16; i++)
		CHECK_EQ(tm_put_at(tm_proc, i, 1, 'a'), 0);
	tm_start(tm_proc, tt, 4, sender, NULL);
	tm_wait(tt, 4);
	uvm_loanfree_drain();
	CHECK(tu_count(UVMC_so_loaned) > 0);
	CHECK_EQ(tu_count(UVMC_loan_returned), tu_count(UVMC_loan_to_kernel));
	end();
}

#define	BUSY_ITEMS	4

static struct uvm_loanfree busy_items[BUSY_ITEMS];
static uint64_t busy_beats[BUSY_ITEMS];

/* Puts the next item there while it runs itself: the list is never seen empty. */
static void
busy_item(struct uvm_loanfree *lf)
{
	size_t i = (size_t)(lf - busy_items);

	busy_beats[i] = curlwp->l_beats;
	if (i + 1 == BUSY_ITEMS)
		return;
	busy_items[i + 1].lf_func = busy_item;
	uvm_loanfree(&busy_items[i + 1]);
}

KTEST(loanfree_that_is_never_idle_lives, "the LWP that ends loans gives a sign of life with each, though there is always another one")
{
	tm_boot(1, NPAGES);
	busy_items[0].lf_func = busy_item;
	uvm_loanfree(&busy_items[0]);
	uvm_loanfree_drain();
	for (int i = 1; i < BUSY_ITEMS; i++)
		CHECK(busy_beats[i] > busy_beats[i - 1]);
	end();
}

KTEST_MAIN()
