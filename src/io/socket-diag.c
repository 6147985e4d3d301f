/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/socket-diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The flag in the kernel's sk_shutdown of a socket that receives nothing any more. */
#define RECEIVE_SHUTDOWN 1

typedef struct
{
  struct nlmsghdr header;
  struct inet_diag_req_v2 request;
} Request;

/* The port and the address, in network byte order. */
static gboolean
fill_in (const struct sockaddr_storage *name,
         __be16                        *port,
         __be32                        *address)
{
  if (name->ss_family == AF_INET)
    {
      const struct sockaddr_in *inet = (const struct sockaddr_in *) name;

      *port = inet->sin_port;
      memcpy (address, &inet->sin_addr, sizeof (inet->sin_addr));
      return TRUE;
    }
  if (name->ss_family == AF_INET6)
    {
      const struct sockaddr_in6 *inet6 = (const struct sockaddr_in6 *) name;

      *port = inet6->sin6_port;
      memcpy (address, &inet6->sin6_addr, sizeof (inet6->sin6_addr));
      return TRUE;
    }
  return FALSE;
}

/* Makes a request about the socket at the other end of @fd. */
static gboolean
make_request (int      fd,
              Request *message)
{
  struct sockaddr_storage here, there;
  socklen_t here_size = sizeof (here), there_size = sizeof (there);
  struct inet_diag_req_v2 *request = &message->request;

  *message = (Request) {
    .header = { .nlmsg_len = sizeof (*message), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
    .request = { .sdiag_protocol = IPPROTO_TCP, .idiag_ext = 1 << (INET_DIAG_SHUTDOWN - 1), .idiag_states = ~0u },
  };
  if (getsockname (fd, (struct sockaddr *) &here, &here_size) < 0 ||
      getpeername (fd, (struct sockaddr *) &there, &there_size) < 0)
    return FALSE;

  request->sdiag_family = there.ss_family;
  if (there.ss_family == AF_INET6)
    request->id.idiag_if = ((struct sockaddr_in6 *) &there)->sin6_scope_id;
  request->id.idiag_cookie[0] = request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return fill_in (&there, &request->id.idiag_sport, request->id.idiag_src) &&
         fill_in (&here, &request->id.idiag_dport, request->id.idiag_dst);
}

static TcpPeerState
read_answer (char  *answer,
             gssize length)
{
  struct nlmsghdr *header = (struct nlmsghdr *) answer;
  struct inet_diag_msg *found = NLMSG_DATA (header);
  int rest;

  if (length < (gssize) NLMSG_LENGTH (sizeof (*found)) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
      header->nlmsg_len > (gsize) length)
    return TCP_PEER_UNKNOWN;
  /* No program has it open any more. */
  if (found->idiag_inode == 0)
    return TCP_PEER_GONE;

  rest = header->nlmsg_len - NLMSG_LENGTH (sizeof (*found));
  for (struct rtattr *attribute = (struct rtattr *) (found + 1); RTA_OK (attribute, rest);
       attribute = RTA_NEXT (attribute, rest))
    if (attribute->rta_type == INET_DIAG_SHUTDOWN && RTA_PAYLOAD (attribute) >= 1)
      return *(guint8 *) RTA_DATA (attribute) & RECEIVE_SHUTDOWN ? TCP_PEER_GONE : TCP_PEER_READS;
  return TCP_PEER_UNKNOWN;
}

/* Whether the program at the other end of a TCP connection on this machine, which has closed its sending side, still
 * reads. TCP itself does not report that; a Unix socket does. */
TcpPeerState
tcp_socket_diagnose_peer (GSocket *peer_of)
{
  union
  {
    struct nlmsghdr header; /* for the alignment */
    char bytes[1024];
  } answer;
  Request message;
  gssize length = -1;
  int fd;

  if (!make_request (g_socket_get_fd (peer_of), &message))
    return TCP_PEER_UNKNOWN;
  fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
  if (fd < 0)
    return TCP_PEER_UNKNOWN;

  /* The kernel answers before send () returns. */
  if (send (fd, &message, sizeof (message), 0) == sizeof (message))
    length = recv (fd, answer.bytes, sizeof (answer.bytes), 0);
  close (fd);
  return read_answer (answer.bytes, length);
}
