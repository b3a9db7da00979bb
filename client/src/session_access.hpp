// What a look-up in a session is made with: the grant, and of which daemon it is.
#pragma once

#include <cstdint>

#include <onced/protocol/segment_reader.hpp>

namespace onced::client_detail {

struct SessionAccess {
  protocol::SessionGrant grant;
  std::uint64_t epoch = 0;  // another daemon's generations mean nothing
};

}  // namespace onced::client_detail
