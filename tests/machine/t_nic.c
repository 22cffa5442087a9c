/*
 * The simulated network interface: what is on the wire is what was handed over.
 */
#include "fakevm.h"

#include <errno.h>
#include <ktest.h>
#include <machine/nic.h>
#include <string.h>
#include <sys/cpu.h>
#include <sys/sleepq.h>

static struct vm_page *page;
static unsigned done;			/* atomic */

static void
sent(struct nic_packet *np)
{
	CHECK(cpu_intr_p());
	CHECK_EQ(curcpu()->ci_ilevel, IPL_VM);
	__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
}

static unsigned
ndone(void)
{
	return __atomic_load_n(&done, __ATOMIC_RELAXED);
}

static void
begin(int cpus_wanted, uint64_t latency)
{
	fv_boot(cpus_wanted, false);
	nic_init(latency);
	page = fv_alloc();
	fv_fill(page, 0x1234567890abcdefUL);
}

static void
end(void)
{
	for (int i = 0; i < 100000 && ndone() < nic_packets(); i++)
		kpause("nic", 1000000);
	fv_free(page);
	nic_fini();
	fv_shutdown();
}

static struct nic_packet
packet(uint32_t off, uint32_t len)
{
	return (struct nic_packet){ .np_nsegs = 1, .np_segs = { { fv_pa(page) + off, len } },
		.np_done = sent };
}

KTEST(without_latency_the_interrupt_is_pending_at_once, "a packet is sent when the IPL lets its interrupt in")
{
	struct nic_packet np;
	int s;

	begin(1, 0);
	np = packet(0, 4096);
	s = splvm();
	CHECK_EQ(nic_transmit(&np), 0);
	CHECK_EQ(ndone(), 0);
	splx(s);
	CHECK_EQ(ndone(), 1);
	CHECK_EQ(nic_packets(), 1);
	end();
}

KTEST(latency_is_the_machines_time, "a packet takes its time, which on one CPU passes while it idles")
{
	struct nic_packet np[3];

	begin(1, 1000000);
	for (int i = 0; i < 3; i++) {
		np[i] = packet(0, 64);
		CHECK_EQ(nic_transmit(&np[i]), 0);
	}
	CHECK_EQ(ndone(), 0);
	kpause("wire", 2000000);
	CHECK_EQ(ndone(), 3);
	end();
}

KTEST(I_LOAN_3_a_changed_packet_is_reported, "a store to a page while it is sent is a violation of content")
{
	struct nic_packet np;
	int s;

	begin(1, 0);
	fv_expect_violations();
	np = packet(8, 100);
	s = splvm();
	CHECK_EQ(nic_transmit(&np), 0);
	fv_words(page)[3] ^= 1;
	splx(s);
	CHECK_EQ(ndone(), 1);
	CHECK_EQ(fv_violations("I-LOAN-3"), 1);
	end();
}

KTEST(a_full_ring_says_ENOBUFS, "NIC_RING packets are taken, one more is not")
{
	static struct nic_packet np[NIC_RING + 1];
	int s;

	begin(1, 0);
	s = splvm();
	for (int i = 0; i <= NIC_RING; i++) {
		np[i] = packet(0, 8);
		CHECK_EQ(nic_transmit(&np[i]), i < NIC_RING ? 0 : ENOBUFS);
	}
	splx(s);
	CHECK_EQ(ndone(), NIC_RING);
	end();
}

KTEST(the_sum_is_of_the_stream, "a checksum does not depend on how the stream is cut, and sees every byte")
{
	uint8_t bytes[64];
	struct nic_sum whole, parts, other;

	for (int i = 0; i < 64; i++)
		bytes[i] = (uint8_t)(i * 37);
	nic_sum_init(&whole);
	nic_sum_init(&parts);
	nic_sum_add(&whole, bytes, 61);
	nic_sum_add(&parts, bytes, 24);
	nic_sum_add(&parts, bytes + 24, 37);
	CHECK_EQ(nic_sum_value(&whole), nic_sum_value(&parts));
	for (int i = 0; i < 61; i++) {
		bytes[i] ^= 0x80;
		nic_sum_init(&other);
		nic_sum_add(&other, bytes, 61);
		CHECK(nic_sum_value(&other) != nic_sum_value(&whole));
		bytes[i] ^= 0x80;
	}
	begin(1, 0);
	end();
}

static void
send_many(void *arg)
{
	static struct nic_packet np[4][16];
	struct nic_packet *mine = np[(intptr_t)arg];

	for (int i = 0; i < 16; i++) {
		mine[i] = packet((uint32_t)i * 8, 256);
		while (nic_transmit(&mine[i]) != 0)
			kpause("ring", 100000);
	}
}

KTEST(packets_of_several_cpus_are_all_sent, "each once, on whatever CPU")
{
	struct lwp *l[4];

	begin(4, 50000);
	for (intptr_t i = 0; i < 4; i++)
		l[i] = fv_spawn(NULL, "sender", send_many, (void *)i);
	for (int i = 0; i < 4; i++)
		fv_join(l[i]);
	for (int i = 0; i < 100000 && ndone() < 64; i++)
		kpause("nic", 1000000);
	CHECK_EQ(ndone(), 64);
	end();
}

KTEST_MAIN()
