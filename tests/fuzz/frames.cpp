// A stream cut into pieces as the input says, read as a daemon reads a connection: small frames first, then large ones.
#include <algorithm>
#include <cstring>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/messages.hpp>

#include "fuzz.hpp"

using namespace onced::protocol;

// The first byte is the size of the pieces, the rest is the stream.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::max<std::size_t>(data[0], 1);
  std::size_t at = 1;
  std::size_t delivered = 0;
  bool greeted = false;
  FrameReader reader;
  while (at < size) {
    const std::span<std::byte> room = reader.room();
    FUZZ_CHECK(!room.empty());
    const std::size_t count = std::min({room.size(), piece, size - at});
    std::memcpy(room.data(), data + at, count);
    reader.received(count);
    at += count;
    for (;;) {
      const auto next = reader.next();
      if (!next.ok()) {
        FUZZ_CHECK(!next.error().text.empty());
        FUZZ_CHECK(!reader.next().ok());
        return 0;
      }
      if (!next->has_value()) break;
      const Frame& frame = **next;
      delivered += frame_header_bytes + frame.payload.size();
      FUZZ_CHECK(frame.payload.size() == frame.header.payload_bytes);
      FUZZ_CHECK(frame.payload.size() <= (greeted ? onced::limits::frame_payload_bytes_max : onced::limits::hello_frame_bytes_max));
      // What comes out is what went in.
      FUZZ_CHECK(std::equal(frame.payload.begin(), frame.payload.end(),
                            reinterpret_cast<const char*>(data) + 1 + delivered - frame.payload.size()));
      (void)decode_request(frame.header.type, frame.payload).ok();
      greeted = true;
      reader.raise_limit(onced::limits::frame_payload_bytes_max);
    }
    FUZZ_CHECK(reader.buffer_bytes() <= (greeted ? 2 * (frame_header_bytes + onced::limits::frame_payload_bytes_max)
                                                 : onced::limits::hello_frame_bytes_max));
  }
  FUZZ_CHECK(delivered <= size - 1);
  return 0;
}
