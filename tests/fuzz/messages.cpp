// A payload of some type: it is refused with a reason, or it is a message whose encoding is stable.
#include <string>
#include <string_view>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/messages.hpp>

#include "fuzz.hpp"

using namespace onced::protocol;

namespace {

template <typename Message, typename Decode>
void check(std::uint16_t type, std::string_view payload, Decode decode) {
  const onced::Result<Message> message = decode(type, payload);
  if (!message.ok()) {
    FUZZ_CHECK(!message.error().text.empty());
    return;
  }
  FUZZ_CHECK(type_of(*message) == type);
  std::string once;
  encode(1, *message, once);
  FUZZ_CHECK(once.size() <= frame_header_bytes + onced::limits::frame_payload_bytes_max);
  const onced::Result<Message> again = decode(type, std::string_view(once).substr(frame_header_bytes));
  FUZZ_CHECK(again.ok());
  std::string twice;
  encode(1, *again, twice);
  FUZZ_CHECK(once == twice);
}

}  // namespace

// The first byte is the type, the rest is the payload.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view payload(reinterpret_cast<const char*>(data) + 1, size - 1);
  check<Request>(data[0], payload, decode_request);
  check<Reply>(data[0], payload, decode_reply);
  return 0;
}
