/*
 * What UVM's objects look like, for reports: ddb(4)'s show commands.
 *
 * They may be called at any time on any thread, the machine running, stuck or broken: nothing is
 * locked, every walk ends, and what a pointer points to is copied by the host's kernel
 * (host_mem_read()) before it is looked at.
 */
#ifndef HARNESS_SHOW_H
#define HARNESS_SHOW_H

#include <stdio.h>

#include <harness/result.h>

struct lwp;
struct vm_anon;
struct vm_map;
struct vm_page;
struct uvm_object;
struct violation;

void	show_page(const struct vm_page *, FILE *);
void	show_anon(const struct vm_anon *, FILE *);
void	show_object(const struct uvm_object *, FILE *);
void	show_map(const struct vm_map *, FILE *);
void	show_slot(int, FILE *);

/*
 * show_violation: what it is about, by its finder's word, the locks that its LWP holds and what
 *    that did last; how those objects look, what happened to them, and what each CPU did last
 * show_machine: memory, CPUs, busy pages
 * show_lwps: every LWP with its locks and its stack, for which it is asked
 * show_lwp: one LWP's locks and stack
 */
void	show_violation(const struct violation *, struct result_violation *);
void	show_machine(FILE *);
void	show_lwps(FILE *);
void	show_lwp(const struct lwp *, FILE *);

#endif /* HARNESS_SHOW_H */
