/*
 * Preloaded into a child of a test.
 *
 * CPC_TEST_JOURNAL: every write, truncation and sync of files called outbox.redb is noted there, in order, so that
 * the test can make the disk as a power cut would leave it.
 * CPC_TEST_DNS: the name broker.test is 127.0.0.1 while that file does not exist, and unknown while it does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int journal = -2;

static int is_outbox(int fd)
{
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 11)
		return 0;
	path[length] = 0;
	return strcmp(path + length - 11, "outbox.redb") == 0;
}

static void note(char kind, uint64_t offset, const void *data, uint64_t size)
{
	unsigned char head[17] = {(unsigned char)kind};
	memcpy(head + 1, &offset, 8);
	memcpy(head + 9, &size, 8);
	if (write(journal, head, 17) != 17 || (data && write(journal, data, size) != (ssize_t)size))
		abort();
}

static int noted(int fd)
{
	if (journal == -2) {
		const char *path = getenv("CPC_TEST_JOURNAL");
		journal = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	}
	return journal >= 0 && is_outbox(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	static ssize_t (*next)(int, const void *, size_t, off64_t);
	if (!next)
		next = dlsym(RTLD_NEXT, "pwrite64");
	ssize_t done = next(fd, data, size, offset);
	if (done > 0 && noted(fd))
		note('W', (uint64_t)offset, data, (uint64_t)done);
	return done;
}

int ftruncate64(int fd, off64_t length)
{
	static int (*next)(int, off64_t);
	if (!next)
		next = dlsym(RTLD_NEXT, "ftruncate64");
	int done = next(fd, length);
	if (done == 0 && noted(fd))
		note('L', (uint64_t)length, NULL, 0);
	return done;
}

int fdatasync(int fd)
{
	static int (*next)(int);
	if (!next)
		next = dlsym(RTLD_NEXT, "fdatasync");
	int done = next(fd);
	if (done == 0 && noted(fd))
		note('S', 0, NULL, 0);
	return done;
}

int fsync(int fd)
{
	static int (*next)(int);
	if (!next)
		next = dlsym(RTLD_NEXT, "fsync");
	int done = next(fd);
	if (done == 0 && noted(fd))
		note('S', 0, NULL, 0);
	return done;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const char *gone = getenv("CPC_TEST_DNS");
	if (!next)
		next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (gone && node && strcmp(node, "broker.test") == 0) {
		if (access(gone, F_OK) == 0)
			return EAI_AGAIN;
		node = "127.0.0.1";
	}
	return next(node, service, hints, found);
}
