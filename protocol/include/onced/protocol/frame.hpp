// Where one message ends and the next begins in a stream of bytes.
//
// Header, 16 bytes, little-endian: u32 payload bytes · u16 message type · u16 zero · u64 request id. Then the payload.
//
// FrameReader is a pure state machine: bytes in, frames out. It never holds more than one frame's bytes plus what was
// read with it, and refuses a length above its limit before it stores or allocates anything for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

namespace onced::protocol {

inline constexpr std::size_t frame_header_bytes = 16;

struct FrameHeader {
  std::uint32_t payload_bytes = 0;
  std::uint16_t type = 0;
  std::uint64_t request_id = 0;
};
void encode_header(const FrameHeader& header, std::uint8_t out[frame_header_bytes]);
// Fails when the reserved bytes are not zero.
Result<FrameHeader> decode_header(const std::uint8_t bytes[frame_header_bytes]);

struct Frame {
  FrameHeader header;
  std::string_view payload;  // valid until the reader is given more room or asked for the next frame
};

class FrameReader {
 public:
  // Until raise_limit() only frames up to hello_frame_bytes_max (header included) are accepted.
  explicit FrameReader(std::size_t payload_bytes_max = limits::hello_frame_bytes_max - frame_header_bytes);
  void raise_limit(std::size_t payload_bytes_max);

  // Free room to receive into, at least one byte and at least what is missing of the present frame; then say how much
  // was received.
  std::span<std::byte> room();
  void received(std::size_t bytes);

  // The next whole frame, nothing yet, or what is wrong with the stream (after which the reader is dead).
  Result<std::optional<Frame>> next();

  // Bytes that the buffer holds allocated: bounds memory per connection.
  std::size_t buffer_bytes() const { return buffer_.size(); }

 private:
  std::string buffer_;
  std::size_t begin_ = 0;  // first byte not yet handed out
  std::size_t end_ = 0;    // one past the last byte received
  std::size_t payload_bytes_max_;
  bool dead_ = false;      // next() has refused the stream
};

}  // namespace onced::protocol
