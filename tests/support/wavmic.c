/*
 * A microphone for tests: an ALSA ioplug capture device that plays a raw S16_LE file in real time.
 *
 *   pcm.x { type wavmic file "/x.raw" rate 48000 channels 1 ctl "/x.unplugged" truth 48000 bytes 2 }
 *
 * It behaves like hardware: it overruns when it is not read in time, its time line runs on whether it is read or
 * not, and while the file `ctl` exists it is unplugged (polls fail, opening gives ENODEV). After the end of the file
 * it is silent. `truth` is how many frames a second it really gives, whatever `rate` says; with `bytes` 3 its format is
 * S24_3LE alone.
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct mic {
	snd_pcm_ioplug_t io;
	int timer, running;
	const int16_t *data;
	size_t frames, bytes;
	unsigned rate, channels, truth, sample;
	char *ctl;
	unsigned long long base; /* frame of the time line at appl_ptr 0 */
};

/* The first start in this process is frame 0 of the file; link with -z nodelete, so that a reopening keeps it. */
static struct timespec epoch;

static unsigned long long now_frame(const struct mic *m)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)(((now.tv_sec - epoch.tv_sec) + (now.tv_nsec - epoch.tv_nsec) / 1e9) * m->truth);
}

static int unplugged(const struct mic *m)
{
	return m->ctl && access(m->ctl, F_OK) == 0;
}

static int mic_start(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	long long period = (long long)(1e9 * io->period_size / m->truth);
	long long first = period + 200000; /* a little late, so that a whole period is there */
	struct itimerspec tick = {
		.it_interval = {period / 1000000000, period % 1000000000},
		.it_value = {first / 1000000000, first % 1000000000},
	};

	if (unplugged(m))
		return -ENODEV;
	if (!epoch.tv_sec)
		clock_gettime(CLOCK_MONOTONIC, &epoch);
	m->base = now_frame(m) - io->appl_ptr;
	m->running = 1;
	return timerfd_settime(m->timer, 0, &tick, NULL) < 0 ? -errno : 0;
}

static int mic_stop(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	struct itimerspec off = {{0, 0}, {0, 0}};

	m->running = 0;
	timerfd_settime(m->timer, 0, &off, NULL);
	return 0;
}

static snd_pcm_sframes_t mic_pointer(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	unsigned long long position;

	if (!m->running)
		return 0;
	position = now_frame(m) - m->base;
	if (position - io->appl_ptr > io->buffer_size)
		return -EPIPE;
	if (position - io->appl_ptr == io->buffer_size)
		position--; /* a full buffer would read as an empty one */
	return position % io->buffer_size;
}

/* Readers through mmap ask for the same frames more than once: the place in the file comes from appl_ptr. */
static snd_pcm_sframes_t mic_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				      snd_pcm_uframes_t offset, snd_pcm_uframes_t count)
{
	struct mic *m = io->private_data;

	if (unplugged(m))
		return -ENODEV;
	for (unsigned c = 0; c < io->channels; c++) {
		char *out = (char *)areas[c].addr + areas[c].first / 8 + offset * areas[c].step / 8;

		for (snd_pcm_uframes_t i = 0; i < count; i++) {
			unsigned long long frame = m->base + io->appl_ptr + i;
			int16_t sample = frame < m->frames ? m->data[frame * m->channels + c] : 0;

			char *to = out + i * areas[c].step / 8;

			if (m->sample == 3)
				*to++ = 0;
			memcpy(to, &sample, sizeof sample);
		}
	}
	return count;
}

static int mic_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned count, unsigned short *revents)
{
	struct mic *m = io->private_data;
	uint64_t ticks;

	(void)fds;
	(void)count;
	*revents = 0;
	if (unplugged(m)) {
		*revents = POLLERR | POLLNVAL; /* what the kernel says of a removed card */
		return 0;
	}
	if (m->running && now_frame(m) - m->base - io->appl_ptr >= io->period_size) {
		*revents = POLLIN;
		return 0;
	}
	if (read(m->timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

static int mic_prepare(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;

	m->running = 0;
	return unplugged(m) ? -ENODEV : 0;
}

static int mic_close(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;

	close(m->timer);
	munmap((void *)m->data, m->bytes);
	free(m->ctl);
	free(m);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = mic_start,
	.stop = mic_stop,
	.pointer = mic_pointer,
	.transfer = mic_transfer,
	.poll_revents = mic_revents,
	.prepare = mic_prepare,
	.close = mic_close,
};

SND_PCM_PLUGIN_DEFINE_FUNC(wavmic)
{
	static const unsigned packed[] = {SND_PCM_FORMAT_S24_3LE}, formats[] = {SND_PCM_FORMAT_S16_LE};
	static const unsigned accesses[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
	const char *file = "", *ctl = NULL;
	long rate = 48000, channels = 1, truth = 0, sample = 2;
	snd_config_iterator_t i, next;
	struct stat status;
	struct mic *m;
	int fd, error;

	(void)root;
	snd_config_for_each(i, next, conf) {
		snd_config_t *node = snd_config_iterator_entry(i);
		const char *key;

		if (snd_config_get_id(node, &key) < 0)
			continue;
		if (!strcmp(key, "file"))
			snd_config_get_string(node, &file);
		else if (!strcmp(key, "ctl"))
			snd_config_get_string(node, &ctl);
		else if (!strcmp(key, "rate"))
			snd_config_get_integer(node, &rate);
		else if (!strcmp(key, "channels"))
			snd_config_get_integer(node, &channels);
		else if (!strcmp(key, "truth"))
			snd_config_get_integer(node, &truth);
		else if (!strcmp(key, "bytes"))
			snd_config_get_integer(node, &sample);
	}
	if (stream != SND_PCM_STREAM_CAPTURE)
		return -EINVAL;
	if (ctl && access(ctl, F_OK) == 0)
		return -ENODEV;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0 || status.st_size == 0) {
		close(fd);
		return -EINVAL;
	}
	m = calloc(1, sizeof *m);
	m->bytes = status.st_size;
	m->frames = m->bytes / sizeof(int16_t) / channels;
	m->data = mmap(NULL, m->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	m->rate = rate;
	m->channels = channels;
	m->truth = truth ? truth : rate;
	m->sample = sample;
	m->ctl = ctl ? strdup(ctl) : NULL;
	m->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	m->io.version = SND_PCM_IOPLUG_VERSION;
	m->io.name = "wavmic";
	m->io.callback = &callbacks;
	m->io.private_data = m;
	m->io.poll_fd = m->timer;
	m->io.poll_events = POLLIN;
	m->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC;
	error = snd_pcm_ioplug_create(&m->io, name, stream, mode);
	if (error < 0) {
		close(m->timer);
		free(m->ctl);
		free(m);
		return error;
	}
	snd_pcm_ioplug_set_param_list(&m->io, SND_PCM_IOPLUG_HW_ACCESS, 2, accesses);
	snd_pcm_ioplug_set_param_list(&m->io, SND_PCM_IOPLUG_HW_FORMAT, 1, sample == 3 ? packed : formats);
	snd_pcm_ioplug_set_param_minmax(&m->io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels);
	snd_pcm_ioplug_set_param_minmax(&m->io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
	snd_pcm_ioplug_set_param_minmax(&m->io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64 * channels, 16384 * channels);
	snd_pcm_ioplug_set_param_minmax(&m->io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
	snd_pcm_ioplug_set_param_minmax(&m->io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 128 * channels, 131072 * channels);
	*pcmp = m->io.pcm;
	return 0;
}
SND_PCM_PLUGIN_SYMBOL(wavmic);
