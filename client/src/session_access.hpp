// What a look-up in a session is made with: the grant, and of which daemon it is.
#pragma once

#include <atomic>
#include <cstdint>

#include <onced/protocol/segment_reader.hpp>

namespace onced::client_detail {

struct SessionAccess {
  protocol::SessionGrant grant;
  // Of the daemon that has confirmed the grant: another one may have kept the session over a restart, or not. Relaxed: who does not see
  // it yet asks.
  std::atomic<std::uint64_t> epoch{0};
};

}  // namespace onced::client_detail
