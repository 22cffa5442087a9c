/* Files of the host that the machine keeps open: what its disks are made of. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <host/host.h>
#include <host/sched.h>

/*
 * => an empty file in dir, or -1 and errno.  Without a name from the start, where the file system
 *    can: a kill leaves nothing behind
 */
static int
temp_in(const char *dir)
{
	char name[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), error;

	if (fd >= 0)
		return fd;
	if (snprintf(name, sizeof(name), "%s/uvmstress-XXXXXX", dir) >= (int)sizeof(name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0 && unlink(name) != 0) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/*
 * A controlled execution takes a millisecond, and the files of a thousand of them a second would
 * keep a disk busy with their coming and going: they are in memory.
 */
int
host_file_temp(const char *dir, uint64_t bytes, int *fdp)
{
	int fd, error;

	if (dir == NULL)
		dir = getenv("TMPDIR");
	if (dir != NULL && dir[0] != '\0')
		fd = temp_in(dir);
	else
		fd = host_controlled() ? memfd_create("uvmstress", MFD_CLOEXEC) : temp_in("/tmp");
	if (fd < 0)
		return errno;
	if (ftruncate(fd, (off_t)bytes) != 0) {
		error = errno;
		close(fd);
		return error;
	}
	*fdp = fd;
	return 0;
}

int
host_file_open(const char *path, int *fdp, struct host_file_info *hi)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), error;
	struct stat st;

	if (fd < 0)
		return errno == EISDIR ? ENXIO : errno;
	if (fstat(fd, &st) != 0) {
		error = errno;
		close(fd);
		return error;
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return ENXIO;
	}
	hi->hf_bytes = (uint64_t)st.st_size;
	hi->hf_dev = (uint64_t)st.st_dev;
	hi->hf_ino = (uint64_t)st.st_ino;
	*fdp = fd;
	return 0;
}

void
host_file_close(int fd)
{
	close(fd);
}

int
host_file_alloc(int fd, uint64_t off, uint64_t bytes)
{
	int rc;

	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes);
	while (rc != 0 && errno == EINTR);
	if (rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV || errno == ESPIPE)
		return 0;
	return errno;
}

bool
host_file_hole(int fd, uint64_t off, uint64_t bytes)
{
	off_t hole = lseek(fd, (off_t)off, SEEK_HOLE);

	if (hole < 0)
		return errno == ENXIO;			/* beyond its end */
	return (uint64_t)hole < off + bytes && (uint64_t)hole >= off;
}

void
host_file_limit(int fd, uint64_t bytes)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > bytes && ftruncate(fd, (off_t)bytes) != 0)
		return;			/* it keeps what it has: zeroes, or what was written */
}
