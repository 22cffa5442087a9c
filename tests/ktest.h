/*
 * ktest: a test program is a list of claims.
 *
 *	KTEST(cow_write_breaks_loan, "a store to a loaned page leaves the loan as it was")
 *	{
 *		...
 *		CHECK_EQ(after, before);
 *	}
 *	KTEST_DEATH(R10_protect_wired, "page_protect of a wired page panics", "R10")
 *	{
 *		...
 *	}
 *	KTEST_MAIN()
 *
 * Each case runs in a child of its own, so that a panic is one failure, or the
 * expected result: a death case must end abnormally and say something on standard
 * error that matches its extended regular expression.  `t_x --case NAME` runs one
 * case, `--list` names them, `--seed N` repeats a random one.  Output is TAP.
 */
#ifndef TESTS_KTEST_H
#define TESTS_KTEST_H

#include <stdbool.h>
#include <stdint.h>

struct ktest_case {
	const char	*kt_name;
	const char	*kt_claim;
	const char	*kt_death;		/* regular expression, or NULL */
	void		(*kt_fn)(void);
	struct ktest_case *kt_next;
};

void	ktest_register(struct ktest_case *);
int	ktest_main(int argc, char **argv);
/* => the seed of this run, from --seed or the default 1 */
uint64_t ktest_seed(void);
/* => KTEST_SIGNALS is set: tests that boot a machine do so with interrupts by signal (kc_signals) */
bool	ktest_signals(void);
/* => n, or a tenth of it (1 at least) where a sanitizer makes everything slow */
unsigned ktest_scale(unsigned n);
void	ktest_fail(const char *file, int line, const char *fmt, ...)
	    __attribute__((noreturn, format(printf, 3, 4)));

#define	KTEST_CASE_(name, claim, death)						\
	static void name(void);							\
	static struct ktest_case name##_case = { #name, claim, death, name, 0 };	\
	static void __attribute__((constructor)) name##_register(void)		\
	{									\
		ktest_register(&name##_case);					\
	}									\
	static void name(void)

#define	KTEST(name, claim)		KTEST_CASE_(name, claim, 0)
#define	KTEST_DEATH(name, claim, regex)	KTEST_CASE_(name, claim, regex)
#define	KTEST_MAIN()								\
	int main(int argc, char **argv)						\
	{									\
		return ktest_main(argc, argv);					\
	}

#define	CHECK(e) do {								\
	if (!(e))								\
		ktest_fail(__FILE__, __LINE__, "%s", #e);			\
} while (0)

#define	CHECK_EQ(a, b) do {							\
	unsigned long long kt_a = (unsigned long long)(a);			\
	unsigned long long kt_b = (unsigned long long)(b);			\
	if (kt_a != kt_b)							\
		ktest_fail(__FILE__, __LINE__, "%s is %llu (%#llx), %s is %llu (%#llx)",	\
		    #a, kt_a, kt_a, #b, kt_b, kt_b);				\
} while (0)

#endif /* TESTS_KTEST_H */
