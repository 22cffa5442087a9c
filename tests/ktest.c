/* See ktest.h. */
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ktest.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define	SANITIZED	1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define	SANITIZED	1
#endif
#endif
#ifndef SANITIZED
#define	SANITIZED	0
#endif

#define	LIMIT_S		600		/* a case that takes longer hangs: a busy host makes all slow, TSan too */
#define	OUTPUT_MAX	(1 << 20)

static struct ktest_case *cases, **last = &cases;
static const char *program;
static uint64_t seed = 1;

void
ktest_register(struct ktest_case *kt)
{
	*last = kt;
	last = &kt->kt_next;
}

uint64_t
ktest_seed(void)
{
	return seed;
}

bool
ktest_signals(void)
{
	return getenv("KTEST_SIGNALS") != NULL;
}

unsigned
ktest_scale(unsigned n)
{
	if (!SANITIZED)
		return n;
	return n >= 10 ? n / 10 : 1;
}

void
ktest_fail(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
	abort();
}

/* => the child's output in fresh memory, its wait status */
static char *
run_child(const struct ktest_case *kt, int *status)
{
	char *out = malloc(OUTPUT_MAX + 1);
	size_t used = 0;
	int fds[2];
	ssize_t n;
	pid_t pid;

	if (out == NULL || pipe(fds) != 0 || fflush(stdout) != 0 || (pid = fork()) < 0) {
		perror("ktest");
		exit(99);
	}
	if (pid == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		dup2(fds[1], STDERR_FILENO);
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		alarm(LIMIT_S);
		kt->kt_fn();
		exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + used, OUTPUT_MAX - used)) > 0 || (n < 0 && errno == EINTR))
		used += n > 0 ? (size_t)n : 0;
	close(fds[0]);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		continue;
	out[used] = '\0';
	return out;
}

static bool
matches(const char *text, const char *pattern)
{
	regex_t re;
	bool match;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0) {
		fprintf(stderr, "ktest: bad regular expression: %s\n", pattern);
		exit(99);
	}
	match = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return match;
}

static bool
died(int status)
{
	return WIFSIGNALED(status) ? WTERMSIG(status) != SIGALRM : WEXITSTATUS(status) != 0;
}

static bool
passed(const struct ktest_case *kt, int status, const char *out)
{
	if (kt->kt_death == NULL)
		return WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return died(status) && matches(out, kt->kt_death);
}

static void
print_indented(const char *out)
{
	for (const char *end; *out != '\0'; out = end) {
		end = strchr(out, '\n');
		end = end != NULL ? end + 1 : out + strlen(out);
		printf("#   %.*s%s", (int)(end - out), out, end[-1] == '\n' ? "" : "\n");
	}
}

static bool
run_case(const struct ktest_case *kt, int number)
{
	int status;
	char *out = run_child(kt, &status);
	bool ok = passed(kt, status, out);

	printf("%sok %d - %s: %s\n", ok ? "" : "not ", number, kt->kt_name, kt->kt_claim);
	if (!ok) {
		if (kt->kt_death != NULL)
			printf("#   had to die saying /%s/\n", kt->kt_death);
		printf("#   %s %d\n", WIFSIGNALED(status) ? "signal" : "exit status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		print_indented(out);
		printf("#   again: %s --case %s --seed %llu\n", program, kt->kt_name,
		    (unsigned long long)seed);
	}
	free(out);
	return ok;
}

static void
usage(void)
{
	fprintf(stderr, "usage: %s [--list] [--seed N] [--case NAME]...\n", program);
	exit(2);
}

int
ktest_main(int argc, char **argv)
{
	const char *only[64];
	int nonly = 0, n = 0, bad = 0;

	program = argv[0];
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--list") == 0) {
			for (struct ktest_case *kt = cases; kt != NULL; kt = kt->kt_next)
				printf("%s\t%s\n", kt->kt_name, kt->kt_claim);
			return 0;
		}
		if (i + 1 == argc)
			usage();
		if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[++i], NULL, 0);
		else if (strcmp(argv[i], "--case") == 0 && nonly < 64)
			only[nonly++] = argv[++i];
		else
			usage();
	}
	for (struct ktest_case *kt = cases; kt != NULL; kt = kt->kt_next) {
		bool wanted = nonly == 0;

		for (int i = 0; i < nonly; i++)
			wanted |= strcmp(only[i], kt->kt_name) == 0;
		if (wanted && !run_case(kt, ++n))
			bad++;
	}
	printf("1..%d\n", n);
	if (nonly != 0 && n == 0)
		usage();
	return bad != 0;
}
