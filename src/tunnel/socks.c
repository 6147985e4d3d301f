/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SOCKS5, RFC 1928, without authentication. */

#include "tunnel/proxy-request.h"

#include <string.h>
#include <sys/socket.h>

enum
{
  VERSION = 5,
  CONNECT = 1,
  NO_AUTHENTICATION = 0,
  NO_ACCEPTABLE_METHOD = 0xff,
};

enum
{
  ADDRESS_IPV4 = 1,
  ADDRESS_NAME = 3,
  ADDRESS_IPV6 = 4,
};

typedef enum
{
  REPLY_SUCCEEDED,
  REPLY_FAILURE,
  REPLY_NOT_ALLOWED,
  REPLY_NETWORK_UNREACHABLE,
  REPLY_HOST_UNREACHABLE,
  REPLY_REFUSED,
  REPLY_TTL_EXPIRED,
  REPLY_NO_COMMAND,
  REPLY_NO_ADDRESS_TYPE,
} Reply;

enum
{
  STATE_METHODS,
  STATE_REQUEST,
};

/* The address from which the target is connected is not known here. */
static void
socks_reply (TcpProxyRequest *self,
             Reply            reply)
{
  const guint8 message[] = { VERSION, reply, 0, ADDRESS_IPV4, 0, 0, 0, 0, 0, 0 };

  g_byte_array_append (self->output, message, sizeof message);
}

static TcpProxyStep
socks_refuse (TcpProxyRequest *self,
              Reply            reply,
              const char      *problem)
{
  tcp_proxy_request_complain (self, "%s", problem);
  socks_reply (self, reply);
  return TCP_PROXY_BAD;
}

/* A client that uses version 4 gets an answer of that version. */
static TcpProxyStep
socks_refuse_version (TcpProxyRequest *self)
{
  static const guint8 rejected[8] = { 0, 0x5b };
  guint8 version = self->input->data[0];

  if (version == 4)
    {
      tcp_proxy_request_complain (self, "it speaks SOCKS4, and only SOCKS5 is served");
      g_byte_array_append (self->output, rejected, sizeof rejected);
    }
  else
    {
      tcp_proxy_request_complain (self, "it does not speak SOCKS5 (its first byte is 0x%02x)", version);
    }
  return TCP_PROXY_BAD;
}

static TcpProxyStep
socks_handle_methods (TcpProxyRequest *self)
{
  const GByteArray *input = self->input;
  guint8 answer[] = { VERSION, NO_ACCEPTABLE_METHOD };

  if (memchr (input->data + 2, NO_AUTHENTICATION, input->len - 2) != NULL)
    answer[1] = NO_AUTHENTICATION;
  g_byte_array_append (self->output, answer, sizeof answer);
  if (answer[1] == NO_ACCEPTABLE_METHOD)
    {
      tcp_proxy_request_complain (self, "it insists on a password, and only SOCKS5 without one is served");
      return TCP_PROXY_BAD;
    }

  self->state = STATE_REQUEST;
  g_byte_array_set_size (self->input, 0);
  return TCP_PROXY_MORE;
}

static gboolean
socks_set_target (TcpProxyRequest *self)
{
  const guint8 *data = self->input->data;
  guint length = self->input->len;
  guint port = data[length - 2] << 8 | data[length - 1];

  if (data[3] == ADDRESS_NAME)
    return tcp_proxy_request_set_name (self, (const char *) data + 5, data[4], port);
  return tcp_proxy_request_set_address (self, data[3] == ADDRESS_IPV4 ? AF_INET : AF_INET6, data + 4, port);
}

static TcpProxyStep
socks_handle_request (TcpProxyRequest *self)
{
  const guint8 *data = self->input->data;

  if (data[0] != VERSION || data[2] != 0)
    return socks_refuse (self, REPLY_FAILURE, "its SOCKS5 request is malformed");
  if (data[1] != CONNECT)
    return socks_refuse (self, REPLY_NO_COMMAND, "it asks for another SOCKS5 command than CONNECT");
  if (!socks_set_target (self))
    return socks_refuse (self, REPLY_HOST_UNREACHABLE, "what it asks for is no target");
  return TCP_PROXY_ASKED;
}

/* Returns the length of the message, as far as it is known. */
static gsize
socks_get_wanted (TcpProxyRequest *self)
{
  const guint8 *data = self->input->data;
  guint length = self->input->len;

  if (self->state == STATE_METHODS)
    return length < 1 ? 1 : length < 2 ? 2 : 2 + data[1];
  if (length < 4)
    return 4;

  switch (data[3])
    {
    case ADDRESS_IPV4: return 10;
    case ADDRESS_IPV6: return 22;
    case ADDRESS_NAME: return length < 5 ? 5 : 7 + data[4];
    default: return 4;
    }
}

static TcpProxyStep
socks_handle (TcpProxyRequest *self)
{
  if (self->state == STATE_METHODS)
    return socks_handle_methods (self);
  if (self->input->len == 4)
    return socks_refuse (self, REPLY_NO_ADDRESS_TYPE, "it asks for a SOCKS5 address of an unknown type");
  return socks_handle_request (self);
}

static TcpProxyStep
socks_receive (TcpProxyRequest *self,
               const guint8    *data,
               gsize            length,
               gsize           *used)
{
  TcpProxyStep step = TCP_PROXY_MORE;
  gsize wanted;

  while (step == TCP_PROXY_MORE && tcp_proxy_request_take (self, wanted = socks_get_wanted (self), data, length, used))
    {
      if (self->state == STATE_METHODS && self->input->data[0] != VERSION)
        return socks_refuse_version (self);
      if (socks_get_wanted (self) == wanted)
        step = socks_handle (self);
    }
  return step;
}

static void
socks_answer (TcpProxyRequest *self,
              TcpProxyOutcome  outcome,
              const char      *message)
{
  static const Reply replies[] = {
    [TCP_PROXY_CONNECTED] = REPLY_SUCCEEDED,
    [TCP_PROXY_FORBIDDEN] = REPLY_NOT_ALLOWED,
    [TCP_PROXY_REFUSED] = REPLY_REFUSED,
    [TCP_PROXY_UNREACHABLE] = REPLY_HOST_UNREACHABLE,
    [TCP_PROXY_TIMED_OUT] = REPLY_TTL_EXPIRED,
    [TCP_PROXY_UNAVAILABLE] = REPLY_FAILURE,
  };

  socks_reply (self, replies[outcome]);
}

/* SOCKS5 has no answer for that. */
static void
socks_time_out (TcpProxyRequest *self)
{
}

const TcpProxyClass tcp_proxy_socks = {
  .name = "SOCKS5",
  .receive = socks_receive,
  .answer = socks_answer,
  .time_out = socks_time_out,
};
