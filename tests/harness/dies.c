/*
 * For t_deaths.py, by LD_PRELOAD: the process comes to its end while it writes a failure.
 *
 * Points are the calls that make the failure's directory and its files; of a run with a free schedule
 * there is no such directory before.  At the DIES_AT-th one, counted from 1, DIES_HOW says what
 * happens: "kill" in the middle of it, "crash" before it, "full": it fails, and so do all to come.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int dirs, points, full;		/* atomic */

int	mkdir(const char *, mode_t);
int	fsync(int);
int	rename(const char *, const char *);
int	fflush(FILE *);

#define	NEXT(fn)	((__typeof__(&(fn)))(uintptr_t)dlsym(RTLD_NEXT, #fn))

/* => true: it is to fail; half: what makes it half done before a kill */
static bool
point(FILE *half)
{
	const char *at = getenv("DIES_AT"), *how = getenv("DIES_HOW");
	struct stat st;

	if (__atomic_load_n(&dirs, __ATOMIC_RELAXED) == 0 || at == NULL || how == NULL)
		return false;
	if (__atomic_add_fetch(&points, 1, __ATOMIC_RELAXED) != atoi(at))
		return __atomic_load_n(&full, __ATOMIC_RELAXED) != 0;
	close(open("died", O_WRONLY | O_CREAT, 0666));	/* the test wants to know that it came to this */
	if (strcmp(how, "full") == 0) {
		__atomic_store_n(&full, 1, __ATOMIC_RELAXED);
		return true;
	}
	if (strcmp(how, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(how, "kill") == 0) {
		if (half != NULL && NEXT(fflush)(half) == 0 && fstat(fileno(half), &st) == 0)
			(void)!ftruncate(fileno(half), st.st_size / 2);
		kill(getpid(), SIGKILL);
	}
	return false;
}

static int
no_space(void)
{
	errno = ENOSPC;
	return -1;
}

int
mkdir(const char *path, mode_t mode)
{
	const size_t len = strlen(path);

	if (len > 4 && strcmp(path + len - 4, ".tmp") == 0)
		__atomic_add_fetch(&dirs, 1, __ATOMIC_RELAXED);
	return point(NULL) ? no_space() : NEXT(mkdir)(path, mode);
}

int
fsync(int fd)
{
	return point(NULL) ? no_space() : NEXT(fsync)(fd);
}

int
rename(const char *from, const char *to)
{
	return point(NULL) ? no_space() : NEXT(rename)(from, to);
}

int
fflush(FILE *out)
{
	if (out != NULL && fileno(out) > STDERR_FILENO && point(out))
		return no_space();
	return NEXT(fflush)(out);
}
