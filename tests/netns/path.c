/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A network path between two network namespaces that this program makes itself: packets that leave the interface
 * path0 of one arrive at that of the other after they have passed a line of a given speed with a buffer before it; some
 * of them are lost, and all are delayed. Everything ends with this process. It does what netem of tc does, for kernels
 * without that; and packets stay as large as the kernel makes them (segmentation offload), so that a line of 1 Gbit/s
 * leaves the processor to the programs that are measured. Each packet is still sent, lost and counted in segments of the
 * size that a line would carry. */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_PACKET (65536 + 128)
#define FRAME 38 /* the overhead of Ethernet for each segment, including the gap between frames */
#define NANOSECOND 1000000000

typedef struct
{
  gint64 due;
  gsize length;
  guint8 data[]; /* with its virtio header */
} Packet;

/* One direction. */
typedef struct
{
  int from;
  int to;
  GQueue packets;
  gint64 line_free; /* the time when the last bit of all that was sent is on the line */
  guint64 segments;
  guint64 bytes;
  guint64 lost;
  guint64 overflowed;
  gint64 latest;
} Direction;

/* A packet as it was read, and pointers to its parts. */
typedef struct
{
  struct virtio_net_hdr *virtio;
  struct iphdr *ip;
  struct tcphdr *tcp;
  guint8 *payload;
  gsize headers; /* of IP and TCP */
  gsize length;  /* of the payload */
  gsize segment;
} Segments;

static double megabits = 1000;
static double delay_ms = 50;
static double loss_percent = 0;
static int buffer_kib = 16384;
static int seed = 1;

static const GOptionEntry options[] = {
  { "megabits", 0, 0, G_OPTION_ARG_DOUBLE, &megabits, "Speed of the line", "MBIT/S" },
  { "delay", 0, 0, G_OPTION_ARG_DOUBLE, &delay_ms, "How long each way takes", "MS" },
  { "loss", 0, 0, G_OPTION_ARG_DOUBLE, &loss_percent, "What is lost", "PERCENT" },
  { "buffer", 0, 0, G_OPTION_ARG_INT, &buffer_kib, "Room before the line", "KIB" },
  { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "Which are lost", "NUMBER" },
  G_OPTION_ENTRY_NULL,
};

static GRand *chance;

static void
die (const char *what)
{
  fprintf (stderr, "path: %s: %s\n", what, g_strerror (errno));
  exit (errno == EPERM || errno == EACCES || errno == ENOENT || errno == ENODEV ? 77 : 1);
}

static gint64
get_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * NANOSECOND + now.tv_nsec;
}

/* Makes another namespace for this process, with the interface in it. */
static int
make_end (int *namespace)
{
  struct ifreq request = { .ifr_name = "path0", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
  int fd;

  if (unshare (CLONE_NEWNET) < 0)
    die ("a network namespace");
  *namespace = open ("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  fd = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (*namespace < 0 || fd < 0)
    die ("/dev/net/tun");
  if (ioctl (fd, TUNSETIFF, &request) < 0 || ioctl (fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
    die ("an interface");

  return fd;
}

static guint16
fold (guint32 sum)
{
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

static guint32
sum_words (gconstpointer data,
           gsize         length)
{
  const guint8 *bytes = data;
  guint32 sum = 0;

  for (gsize i = 0; i + 1 < length; i += 2)
    sum += bytes[i] << 8 | bytes[i + 1];
  return sum;
}

static gint64
get_transmission_time (gsize bytes)
{
  return bytes * 8 * 1000 / megabits;
}

static void
direction_push (Direction    *self,
                gconstpointer data,
                gsize         length)
{
  Packet *packet = g_malloc (sizeof (Packet) + length);

  packet->due = self->line_free + (gint64) (delay_ms * 1000000);
  packet->length = length;
  memcpy (packet->data, data, length);
  g_queue_push_tail (&self->packets, packet);
}

/* Returns whether the next segment is transmitted; sets the time when the line is free again. */
static gboolean
direction_transmit (Direction *self,
                    gint64     now,
                    gsize      bytes)
{
  self->segments++;
  if (self->line_free - now > get_transmission_time ((gsize) buffer_kib * 1024))
    {
      self->overflowed++;
      return FALSE;
    }

  self->line_free = MAX (self->line_free, now) + get_transmission_time (bytes + FRAME);
  /* A packet that is lost uses the line as well. */
  if (g_rand_double_range (chance, 0, 100) < loss_percent)
    {
      self->lost++;
      return FALSE;
    }

  self->bytes += bytes;
  return TRUE;
}

/* Sends the segments from @first up to @end as a separate packet. */
static void
push_segments (Direction      *self,
               const Segments *all,
               gsize           first,
               gsize           end)
{
  guint8 data[MAX_PACKET];
  gsize offset = first * all->segment;
  gsize length = MIN (end * all->segment, all->length) - offset;
  struct virtio_net_hdr *virtio = (gpointer) data;
  struct iphdr *ip = (gpointer) (virtio + 1);
  struct tcphdr *tcp;
  gsize before = sizeof (*virtio) + all->headers;

  memcpy (data, all->virtio, before);
  tcp = (gpointer) ((guint8 *) ip + ip->ihl * 4);
  memcpy (data + before, all->payload + offset, length);

  if (length <= all->segment)
    {
      virtio->gso_type = VIRTIO_NET_HDR_GSO_NONE;
      virtio->gso_size = 0;
    }
  ip->tot_len = htons (all->headers + length);
  ip->id = htons (ntohs (ip->id) + first);
  ip->check = 0;
  ip->check = htons (~fold (sum_words (ip, ip->ihl * 4)));
  tcp->seq = htonl (ntohl (tcp->seq) + offset);
  if (offset + length < all->length)
    tcp->fin = tcp->psh = 0;
  /* The receiver computes the rest of the checksum. */
  tcp->check = htons (fold (sum_words (&ip->saddr, 8) + IPPROTO_TCP + all->headers - ip->ihl * 4 + length));
  direction_push (self, data, before + length);
}

/* Returns FALSE if the packet is a single segment. */
static gboolean
find_segments (guint8   *data,
               gsize     length,
               Segments *found)
{
  found->virtio = (gpointer) data;
  found->ip = (gpointer) (found->virtio + 1);
  if (found->virtio->gso_type == VIRTIO_NET_HDR_GSO_NONE)
    return FALSE;

  found->tcp = (gpointer) ((guint8 *) found->ip + found->ip->ihl * 4);
  found->headers = found->ip->ihl * 4 + found->tcp->doff * 4;
  found->payload = (guint8 *) found->ip + found->headers;
  found->length = length - sizeof (*found->virtio) - found->headers;
  found->segment = found->virtio->gso_size;
  return TRUE;
}

static void
direction_take (Direction *self,
                guint8    *data,
                gsize      length)
{
  gint64 now = get_time ();
  Segments all;
  gsize first = 0;
  gsize n;

  if (!find_segments (data, length, &all))
    {
      if (direction_transmit (self, now, length - sizeof (*all.virtio)))
        direction_push (self, data, length);
      return;
    }

  n = (all.length + all.segment - 1) / all.segment;
  for (gsize i = 0; i < n; i++)
    {
      gint64 line_free = self->line_free;

      if (direction_transmit (self, now, all.headers + MIN (all.segment, all.length - i * all.segment)))
        continue;
      if (i > first)
        {
          gint64 after = self->line_free;

          self->line_free = line_free;
          push_segments (self, &all, first, i);
          self->line_free = after;
        }
      first = i + 1;
    }
  if (first == 0)
    direction_push (self, data, length);
  else if (first < n)
    push_segments (self, &all, first, n);
}

/* The number of reads is bounded, as other events may be due. */
static void
direction_read (Direction *self)
{
  guint8 data[MAX_PACKET];

  for (guint i = 0; i < 16; i++)
    {
      gssize n = read (self->from, data, sizeof (data));

      if (n <= 0)
        return;
      direction_take (self, data, n);
    }
}

/* Delivers the packets that are due, and returns the time of the next one. */
static gint64
direction_deliver (Direction *self)
{
  Packet *packet;
  gint64 now = get_time ();

  while ((packet = g_queue_peek_head (&self->packets)) != NULL && packet->due <= now)
    {
      self->latest = MAX (self->latest, now - packet->due);
      g_queue_pop_head (&self->packets);
      /* An interface that is down takes none. */
      if (write (self->to, packet->data, packet->length) < 0 && errno != EIO)
        die ("write");
      g_free (packet);
    }

  return packet != NULL ? packet->due : G_MAXINT64;
}

static void
print_statistics (Direction directions[2])
{
  for (guint i = 0; i < 2; i++)
    {
      printf ("%s\"%s\": {\"segments\": %" G_GUINT64_FORMAT ", \"bytes\": %" G_GUINT64_FORMAT
              ", \"lost\": %" G_GUINT64_FORMAT ", \"overflowed\": %" G_GUINT64_FORMAT ", \"late_us\": %" G_GINT64_FORMAT "}",
              i == 0 ? "{" : ", ", i == 0 ? "out" : "back", directions[i].segments, directions[i].bytes,
              directions[i].lost, directions[i].overflowed, directions[i].latest / 1000);
      directions[i].latest = 0;
    }
  printf ("}\n");
  fflush (stdout);
}

/* For each line of input, prints the statistics so far and the maximum lateness of a packet since the last time.
 * Returns FALSE at the end of the input. */
static gboolean
answer (Direction directions[2])
{
  char line[64];

  if (read (STDIN_FILENO, line, sizeof (line)) <= 0)
    return FALSE;
  print_statistics (directions);
  return TRUE;
}

static void
run (Direction directions[2])
{
  struct pollfd fds[] = {
    { .fd = directions[0].from, .events = POLLIN },
    { .fd = directions[1].from, .events = POLLIN },
    { .fd = STDIN_FILENO, .events = POLLIN },
  };

  for (;;)
    {
      gint64 due = MIN (direction_deliver (&directions[0]), direction_deliver (&directions[1]));
      gint64 now = get_time ();
      gint64 wait = CLAMP (due - now, 0, NANOSECOND);
      struct timespec timeout = { .tv_nsec = wait % NANOSECOND, .tv_sec = wait / NANOSECOND };

      if (ppoll (fds, G_N_ELEMENTS (fds), &timeout, NULL) < 0 && errno != EINTR)
        die ("ppoll");
      if (fds[0].revents != 0)
        direction_read (&directions[0]);
      if (fds[1].revents != 0)
        direction_read (&directions[1]);
      if (fds[2].revents != 0 && !answer (directions))
        return;
    }
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  const struct sched_param priority = { .sched_priority = 1 };
  Direction directions[2] = { 0 };
  int namespaces[2];

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 1)
    {
      fprintf (stderr, "path: %s\n", error != NULL ? error->message : "no arguments are taken");
      return 2;
    }

  chance = g_rand_new_with_seed (seed);
  prctl (PR_SET_TIMERSLACK, 1);
  /* A real line does not wait for the programs that use it; this needs a permission. */
  (void) sched_setscheduler (0, SCHED_RR, &priority);
  for (guint i = 0; i < 2; i++)
    {
      directions[i].from = make_end (&namespaces[i]);
      directions[1 - i].to = directions[i].from;
    }
  printf ("/proc/%d/fd/%d /proc/%d/fd/%d\n", getpid (), namespaces[0], getpid (), namespaces[1]);
  fflush (stdout);
  run (directions);

  return 0;
}
