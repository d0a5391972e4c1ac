/*
 * Preloaded into the daemon by tests: a clock that is stepped and a disk that is full, read-only or slow.
 *
 * The file MEDDLE holds two 64-bit numbers: seconds by which the clock is wrong; what the disk does: 0 nothing, 1 full,
 * 2 read-only, larger: each sync takes so many ms.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *control;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("MEDDLE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *map = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);

	if (map != MAP_FAILED)
		control = map;
	close(fd);
}

static int64_t disk(int fd)
{
	struct stat status;

	if (!control || !control[1] || fstat(fd, &status) || !S_ISREG(status.st_mode))
		return 0;
	return control[1];
}

static int refuses(int fd)
{
	int64_t what = disk(fd);

	errno = what == 1 ? ENOSPC : EROFS;
	return what == 1 || what == 2;
}

static void slowly(int fd)
{
	int64_t ms = disk(fd);
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	if (ms > 2)
		nanosleep(&pause, NULL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *time)
{
	static __typeof__(&clock_gettime) real;

	if (!real)
		real = REAL(clock_gettime);
	int result = real(clock, time);

	if (control && clock == CLOCK_REALTIME)
		time->tv_sec += control[0];
	return result;
}

ssize_t write(int fd, const void *from, size_t count)
{
	return refuses(fd) ? -1 : REAL(write)(fd, from, count);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at)
{
	return refuses(fd) ? -1 : REAL(pwrite64)(fd, from, count, at);
}

int ftruncate64(int fd, off64_t length)
{
	return refuses(fd) ? -1 : REAL(ftruncate64)(fd, length);
}

int fsync(int fd)
{
	slowly(fd);
	return refuses(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	slowly(fd);
	return refuses(fd) ? -1 : REAL(fdatasync)(fd);
}
