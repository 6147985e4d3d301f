/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/i18n.h"
#include "base/invalid.h"
#include "base/ref-count.h"
#include "base/secret-hash.h"
#include "io/heritage.h"
#include "io/linger.h"

#define MAGIC "tcptunl"
#define BYTE_ORDER_MARK 0x01020304
#define ALIGNMENT 8
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct
{
  char magic[8];
  guint32 byte_order;
  guint32 version;
  guint64 size; /* of the whole state */
  guint64 records;
} Header;

typedef struct
{
  guint64 length; /* without this header and the padding behind the record */
  guint32 kind;
  guint32 reserved;
} RecordHeader;

typedef struct
{
  int fd;
  guint64 inode;
  gboolean listens;
  gboolean inherited;
} Socket;

struct _TcpSnapshot
{
  gatomicrefcount refs;
  int fd;
  atomic_ullong size;
  atomic_ullong records;

  GMutex mutex;
  int code;        /* under the mutex: the errno of a failed write */
  GArray *sockets; /* under the mutex: of Socket */
};

/* Writing */

TcpSnapshot *
tcp_snapshot_new (GError **error)
{
  int fd = memfd_create ("tcp-tunnel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  int code = errno;
  TcpSnapshot *self;

  if (fd < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                   _("the state of the gateway cannot be saved: %s"), g_strerror (code));
      return NULL;
    }

  self = g_new0 (TcpSnapshot, 1);
  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->fd = fd;
  self->size = sizeof (Header);
  self->sockets = g_array_new (FALSE, FALSE, sizeof (Socket));
  return self;
}

TcpSnapshot *
tcp_snapshot_ref (TcpSnapshot *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_snapshot_unref (TcpSnapshot *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  close (self->fd);
  g_array_unref (self->sockets);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

static void
snapshot_write (TcpSnapshot   *self,
                gconstpointer  data,
                gsize          length,
                guint64        at)
{
  int code = 0;

  while (length > 0 && code == 0)
    {
      gssize n = pwrite (self->fd, data, length, at);

      if (n < 0 && errno != EINTR)
        code = errno;
      if (n <= 0)
        continue;
      data = (const guint8 *) data + n;
      length -= n;
      at += n;
    }
  if (code == 0)
    return;

  g_mutex_lock (&self->mutex);
  self->code = code;
  g_mutex_unlock (&self->mutex);
}

static guint64
round_up (guint64 length)
{
  return (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* May be called on any thread. */
void
tcp_snapshot_add (TcpSnapshot     *self,
                  TcpSnapshotKind  kind,
                  GVariant        *record)
{
  RecordHeader header = { .length = g_variant_get_size (record), .kind = kind };
  guint64 at = atomic_fetch_add (&self->size, sizeof header + round_up (header.length));

  atomic_fetch_add (&self->records, 1);
  snapshot_write (self, &header, sizeof header, at);
  snapshot_write (self, g_variant_get_data (record), header.length, at + sizeof header);
}

/* Adds a socket that is in the state, if it is @inherited; otherwise it is reset. May be called on any thread. */
void
tcp_snapshot_add_socket (TcpSnapshot *self,
                         int          fd,
                         gboolean     listens,
                         gboolean     inherited)
{
  Socket socket = { .fd = fd, .inode = tcp_socket_get_inode (fd), .listens = listens, .inherited = inherited };

  g_mutex_lock (&self->mutex);
  g_array_append_val (self->sockets, socket);
  g_mutex_unlock (&self->mutex);
}

/* Called when all threads have finished writing; seals the state. Returns another descriptor of it, or -1. */
int
tcp_snapshot_finish (TcpSnapshot  *self,
                     GError      **error)
{
  Header header = {
    .magic = MAGIC,
    .byte_order = BYTE_ORDER_MARK,
    .version = TCP_SNAPSHOT_VERSION,
    .size = self->size,
    .records = self->records,
  };
  int fd = -1;
  int code;

  snapshot_write (self, &header, sizeof header, 0);
  g_mutex_lock (&self->mutex);
  code = self->code;
  g_mutex_unlock (&self->mutex);
  /* The padding behind the last record may be missing. */
  if (code == 0 && (ftruncate (self->fd, header.size) < 0 || fcntl (self->fd, F_ADD_SEALS, SEALS) < 0 ||
                    (fd = fcntl (self->fd, F_DUPFD_CLOEXEC, 3)) < 0))
    code = errno;
  if (code != 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), _("the state of the gateway cannot be saved: %s"),
                 g_strerror (code));
  return fd;
}

/* If @leaving, the sockets stay open when another program replaces this one, and a failure before that program uses
 * them resets their connections. Otherwise that is undone. */
void
tcp_snapshot_set_leaving (TcpSnapshot *self,
                          gboolean     leaving)
{
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->sockets->len; i++)
    {
      Socket *socket = &g_array_index (self->sockets, Socket, i);

      if (!socket->listens)
        tcp_socket_set_doomed (socket->fd, socket->inode, leaving);
      if (socket->inherited)
        tcp_socket_set_inherited (socket->fd, socket->inode, leaving);
    }
  g_mutex_unlock (&self->mutex);
}

/* Reading. The state may contain anything, and all of it is checked. */

static gboolean
malformed (GError **error)
{
  return tcp_invalid (error, _("the state of the gateway is malformed"));
}

static GBytes *
map_state (int      fd,
           GError **error)
{
  g_autoptr (GMappedFile) file = NULL;
  int seals = fcntl (fd, F_GET_SEALS);

  if (seals < 0 || (seals & SEALS) != SEALS)
    {
      tcp_invalid (error, _("the descriptor %d does not hold the state of a gateway"), fd);
      return NULL;
    }
  file = g_mapped_file_new_from_fd (fd, FALSE, error);
  return file != NULL ? g_mapped_file_get_bytes (file) : NULL;
}

static gboolean
check_header (GBytes   *bytes,
              Header   *header,
              GError  **error)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  if (size < sizeof *header)
    return malformed (error);
  memcpy (header, data, sizeof *header);
  if (memcmp (header->magic, MAGIC, sizeof header->magic) != 0 || header->byte_order != BYTE_ORDER_MARK)
    return malformed (error);
  if (header->version != TCP_SNAPSHOT_VERSION)
    return tcp_invalid (error, _("the state of the gateway has version %u, but this program reads version %u"),
                        header->version, TCP_SNAPSHOT_VERSION);
  return header->size == size || malformed (error);
}

/* Detects duplicates: two connections with one socket would mix their bytes. */
typedef struct
{
  GHashTable *descriptors;
  GHashTable *session_ids;
  gboolean twice;
} Seen;

static void
note_socket (int      fd,
             guint64  inode,
             gboolean listens,
             gpointer user_data)
{
  Seen *seen = user_data;

  seen->twice |= !g_hash_table_add (seen->descriptors, GINT_TO_POINTER (fd));
}

static gboolean
heritage_add (TcpHeritage  *self,
              guint32       kind,
              GBytes       *bytes,
              Seen         *seen,
              GError      **error)
{
  static const char *const types[] = {
    [TCP_SNAPSHOT_GATEWAY] = TCP_GATEWAY_STATE_TYPE,
    [TCP_SNAPSHOT_CLIENT] = TCP_CLIENT_STATE_TYPE,
    [TCP_SNAPSHOT_GONE] = TCP_GONE_STATE_TYPE,
  };
  g_autoptr (GVariant) record = NULL;
  g_auto (TcpClientState) client = { 0 };

  if (kind < TCP_SNAPSHOT_GATEWAY || kind > TCP_SNAPSHOT_GONE)
    return malformed (error);

  record = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (types[kind]), bytes, FALSE));
  if (!g_variant_is_normal_form (record) || (kind == TCP_SNAPSHOT_GATEWAY && self->gateway != NULL))
    return malformed (error);
  switch (kind)
    {
    case TCP_SNAPSHOT_GATEWAY:
      self->gateway = g_steal_pointer (&record);
      break;
    case TCP_SNAPSHOT_GONE:
      g_ptr_array_add (self->gone, g_steal_pointer (&record));
      break;
    default:
      if (!tcp_client_state_read (&client, record, error))
        return FALSE;
      if (client.session_id != NULL)
        seen->twice |= !g_hash_table_add (seen->session_ids, g_steal_pointer (&client.session_id));
      tcp_client_state_foreach_socket (record, note_socket, seen);
      g_ptr_array_add (self->clients, g_steal_pointer (&record));
    }
  return TRUE;
}

static gboolean
heritage_read_records (TcpHeritage   *self,
                       GBytes        *bytes,
                       const Header  *header,
                       Seen          *seen,
                       GError       **error)
{
  const guint8 *data = g_bytes_get_data (bytes, NULL);
  guint64 at = sizeof *header;

  for (guint64 i = 0; i < header->records; i++)
    {
      g_autoptr (GBytes) part = NULL;
      RecordHeader record;

      if (header->size - at < sizeof record)
        return malformed (error);
      memcpy (&record, data + at, sizeof record);
      at += sizeof record;
      if (record.length > header->size - at || round_up (record.length) > header->size - at)
        return malformed (error);
      part = g_bytes_new_from_bytes (bytes, at, record.length);
      at += round_up (record.length);
      if (!heritage_add (self, record.kind, part, seen, error))
        return FALSE;
    }
  return (at == header->size && self->gateway != NULL) || malformed (error);
}

static void
list_own_sockets (TcpHeritage        *self,
                  TcpStateSocketFunc  func,
                  gpointer            user_data)
{
  g_autoptr (GVariant) ports = g_variant_get_child_value (self->gateway, 0);
  GVariantIter iter;
  GVariantIter *sockets;

  g_variant_iter_init (&iter, ports);
  while (g_variant_iter_loop (&iter, "(a(it)@m(stt))", &sockets, NULL))
    {
      guint64 inode;
      int fd;

      while (g_variant_iter_next (sockets, "(it)", &fd, &inode))
        func (fd, inode, TRUE, user_data);
    }
}

/* Checks everything but whether the sockets exist. */
TcpHeritage *
tcp_heritage_read (int      fd,
                   GError **error)
{
  g_autoptr (TcpHeritage) self = g_new0 (TcpHeritage, 1);
  g_autoptr (GHashTable) descriptors = g_hash_table_new (NULL, NULL);
  g_autoptr (GHashTable) session_ids = g_hash_table_new_full (tcp_secret_hash, g_str_equal, g_free, NULL);
  Seen seen = { .descriptors = descriptors, .session_ids = session_ids };
  g_autoptr (GBytes) bytes = map_state (fd, error);
  Header header;

  g_atomic_ref_count_init (&self->refs);
  self->clients = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  self->gone = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  if (bytes == NULL || !check_header (bytes, &header, error) ||
      !heritage_read_records (self, bytes, &header, &seen, error))
    return NULL;

  list_own_sockets (self, note_socket, &seen);
  if (seen.twice)
    {
      malformed (error);
      return NULL;
    }
  return g_steal_pointer (&self);
}

TcpHeritage *
tcp_heritage_ref (TcpHeritage *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_heritage_unref (TcpHeritage *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_clear_pointer (&self->gateway, g_variant_unref);
  g_clear_pointer (&self->clients, g_ptr_array_unref);
  g_clear_pointer (&self->gone, g_ptr_array_unref);
  g_free (self);
}

/* For a client that does not continue. */
static void
reset_socket (int      fd,
              guint64  inode,
              gboolean listens,
              gpointer user_data)
{
  g_autoptr (GSocket) socket = tcp_socket_inherit (fd, inode);

  if (socket != NULL)
    tcp_socket_close_with_reset (socket);
}

void
tcp_heritage_reset_client (GVariant *state)
{
  tcp_client_state_foreach_socket (state, reset_socket, NULL);
}

/* Resets everything in the state, which is not continued. */
void
tcp_heritage_reset (TcpHeritage *self)
{
  for (guint i = 0; i < self->clients->len; i++)
    tcp_heritage_reset_client (self->clients->pdata[i]);
  list_own_sockets (self, reset_socket, NULL);
}
