/* Files of the host that the machine keeps open: what its disks are made of. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <host/host.h>

int
host_file_temp(const char *dir, uint64_t bytes, int *fdp)
{
	char name[4096];
	int fd, error;

	if (dir == NULL)
		dir = getenv("TMPDIR");
	if (dir == NULL || dir[0] == '\0')
		dir = "/tmp";
	if (snprintf(name, sizeof(name), "%s/uvmstress-XXXXXX", dir) >= (int)sizeof(name))
		return ENAMETOOLONG;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (unlink(name) != 0 || ftruncate(fd, (off_t)bytes) != 0) {
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
