/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The counters that every result has, and what they mean.
 *
 * A row here is a promise to whoever reads the JSON: the key is always there.  An engine
 * may report more (UVM has dozens); those follow behind, in its order.
 */
#include <harness/result.h>

const struct counter_info counter_table[] = {
	{ "faults", "total", "page faults that entered uvm_fault" },
	{ "faults", "zero_fill", "promoted from nothing: a fresh zeroed page" },
	{ "faults", "cow", "write to a shared anon: its page was copied" },
	{ "faults", "promote", "an object's page was copied into a new anon" },
	{ "faults", "soft", "page was resident, only its mapping was missing" },
	{ "faults", "file", "answered by a vnode object" },
	{ "faults", "pagein", "page had to be read by a pager" },
	{ "faults", "ahead", "neighbours mapped along with a faulting page" },
	{ "faults", "shortage_retries", "given up for want of memory or anons, then retried" },
	{ "loans", "to_kernel", "pages loaned to the kernel" },
	{ "loans", "to_anon", "pages loaned to an anon" },
	{ "loans", "broken", "loans broken by a write" },
	{ "loans", "returned", "loans given back" },
	{ "loans", "zero", "loans of the page of zeroes" },
	{ "loans", "copied", "pages copied to be lent, being shared copy-on-write" },
	{ "loans", "orphaned", "pages whose owner went while they were lent" },
	{ "loans", "adopted", "borrowed pages whose lender went" },
	{ "loans", "refused", "loans refused: wired, or not there" },
	{ "loans", "deferred", "ends of loans in interrupt" },
	{ "loans", "read", "pages of files lent to a read() buffer" },
	{ "interrupts", "delivered", "interrupt handlers run" },
	{ "interrupts", "pool_puts", "pool items returned at interrupt level" },
	{ "interrupts", "ipis", "interrupts from one CPU to another" },
	{ "interrupts", "by_signal", "times that a host signal found an interrupt to deliver" },
	{ "interrupts", "clock", "interrupts of the clock" },
	{ "interrupts", "clock_user", "of which on return to user mode" },
	{ "interrupts", "clock_sys", "of which in the kernel" },
	{ "interrupts", "clock_intr", "of which in another interrupt's handler" },
	{ "interrupts", "clock_idle", "of which on a CPU that had nothing to do" },
	{ "interrupts", "disk", "interrupts of the disk" },
	{ "interrupts", "net", "interrupts of the network interface" },
	{ "interrupts", "device", "interrupts of mapped devices" },
	{ "interrupts", "soft", "soft interrupts" },
	{ "interrupts", "cpus_offlined", "times that a CPU was taken offline" },
	{ "uvmexp", "ptp_alloc", "page table pages made" },
	{ "uvmexp", "enter_failed", "mappings that could not be made for want of a table or pv entry" },
	{ "uvmexp", "ptp_steals", "tables taken from other processes" },
	{ "uvmexp", "pv_steals", "pv entries taken from other processes" },
	{ "uvmexp", "plain_enter_dips", "enters that may not fail and took the reserve; 0 or a bug" },
	{ "uvmexp", "leaving_flushes", "pages relied upon that somebody had unmapped just before" },
#define	INJECT_SITE(name, text, delay, help)	{ "injected", text, help },
#include <sys/inject.def>
#undef INJECT_SITE
	{ NULL, NULL, NULL },
};
