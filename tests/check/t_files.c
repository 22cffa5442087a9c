/*
 * The host's files that workloads map and read: of the size that was asked for, and without a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <harness/content.h>
#include <ktest.h>

KTEST(files_have_no_name, "a file of stamps, or of zeroes, has no name at any time: a kill leaves nothing behind")
{
	char dir[] = "/tmp/t_files-XXXXXX", event[4096];
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd;
	bool named;

	CHECK(mkdtemp(dir) != NULL);
	CHECK_EQ(setenv("TMPDIR", dir, 1), 0);
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	named = fd < 0;			/* its file system has no others */
	if (fd >= 0)
		close(fd);
	if (watch < 0)			/* the user has no more of them */
		named = true;
	else
		CHECK(inotify_add_watch(watch, dir, IN_CREATE) >= 0);
	CHECK((fd = content_file_create(1, 10000)) >= 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 10000);
	close(fd);
	CHECK((fd = content_zero_file(5000)) >= 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 5000);
	close(fd);
	CHECK(named || (read(watch, event, sizeof(event)) < 0 && errno == EAGAIN));
	if (watch >= 0)
		close(watch);
	CHECK_EQ(rmdir(dir), 0);			/* nor is anything left */
}

KTEST_MAIN()
