#include <onced/protocol/frame.hpp>

#include <algorithm>
#include <array>

namespace onced::protocol {
namespace {

// What a connection costs before it sends anything larger.
constexpr std::size_t buffer_bytes_initial = 1024;
// Above this an empty buffer is given back to the system.
constexpr std::size_t buffer_bytes_kept = 16 * 1024;

template <typename Number>
void store_little_endian(std::uint8_t* at, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) at[i] = static_cast<std::uint8_t>(number >> (8 * i) & 0xff);
}
template <typename Number>
Number load_little_endian(const std::uint8_t* at) {
  Number number = 0;
  for (std::size_t i = sizeof number; i-- > 0;) number = static_cast<Number>(number << 8 | at[i]);
  return number;
}

// Someone tried a browser or curl on the socket: say so instead of naming an absurd length.
bool looks_like_http(const std::uint8_t bytes[frame_header_bytes]) {
  constexpr std::array<std::string_view, 6> methods{"GET ", "POST", "HEAD", "PUT ", "OPTI", "DELE"};
  const std::string_view begin(reinterpret_cast<const char*>(bytes), 4);
  return std::find(methods.begin(), methods.end(), begin) != methods.end();
}

}  // namespace

void encode_header(const FrameHeader& header, std::uint8_t out[frame_header_bytes]) {
  store_little_endian(out, header.payload_bytes);
  store_little_endian(out + 4, header.type);
  store_little_endian(out + 6, std::uint16_t{0});
  store_little_endian(out + 8, header.request_id);
}

Result<FrameHeader> decode_header(const std::uint8_t bytes[frame_header_bytes]) {
  if (const auto reserved = load_little_endian<std::uint16_t>(bytes + 6); reserved != 0) {
    if (looks_like_http(bytes)) return Error{ErrorCode::malformed, "this is an HTTP request, not an onced frame"};
    return Error{ErrorCode::malformed, "the reserved bytes of a frame header are " + std::to_string(reserved) + ", not 0"};
  }
  return FrameHeader{load_little_endian<std::uint32_t>(bytes), load_little_endian<std::uint16_t>(bytes + 4),
                     load_little_endian<std::uint64_t>(bytes + 8)};
}

FrameReader::FrameReader(std::size_t payload_bytes_max) : payload_bytes_max_(payload_bytes_max) {}

void FrameReader::raise_limit(std::size_t payload_bytes_max) {
  payload_bytes_max_ = std::max(payload_bytes_max_, payload_bytes_max);
}

std::span<std::byte> FrameReader::room() {
  const std::size_t held = end_ - begin_;
  // What the present frame needs, as far as its header is here; a header that next() will refuse needs nothing.
  std::size_t needed = frame_header_bytes;
  if (held >= frame_header_bytes) {
    const auto payload = load_little_endian<std::uint32_t>(reinterpret_cast<const std::uint8_t*>(buffer_.data()) + begin_);
    if (payload <= payload_bytes_max_) needed += payload;
  }
  needed = std::max(needed, held + 1);

  if (held == 0 && buffer_.size() > buffer_bytes_kept && needed <= buffer_bytes_kept) {
    std::string().swap(buffer_);
    begin_ = end_ = 0;
  }
  if (buffer_.size() - begin_ < needed || held == 0) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_),
              buffer_.begin());
    begin_ = 0;
    end_ = held;
  }
  if (buffer_.size() < needed) {
    // Doubling keeps the cost of a growing stream of frames linear; never above what the limit needs.
    const std::size_t most = std::max(needed, frame_header_bytes + payload_bytes_max_);
    buffer_.resize(std::clamp(2 * buffer_.size(), std::max(needed, buffer_bytes_initial), std::max(most, buffer_bytes_initial)));
  }
  return std::as_writable_bytes(std::span(buffer_)).subspan(end_);
}

void FrameReader::received(std::size_t bytes) {
  ONCED_ASSERT(bytes <= buffer_.size() - end_);
  end_ += bytes;
}

Result<std::optional<Frame>> FrameReader::next() {
  if (dead_) return Error{ErrorCode::malformed, "this stream has been broken before"};
  if (end_ - begin_ < frame_header_bytes) return std::optional<Frame>();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(buffer_.data()) + begin_;
  const Result<FrameHeader> header = decode_header(bytes);
  if (!header) {
    dead_ = true;
    return header.error();
  }
  if (header->payload_bytes > payload_bytes_max_) {
    dead_ = true;
    if (looks_like_http(bytes)) return Error{ErrorCode::malformed, "this is an HTTP request, not an onced frame"};
    return Error{ErrorCode::too_large, "bytes of a frame's payload " + std::to_string(header->payload_bytes) + " > " +
                                           std::to_string(payload_bytes_max_)};
  }
  const std::size_t frame_bytes = frame_header_bytes + header->payload_bytes;
  if (end_ - begin_ < frame_bytes) return std::optional<Frame>();
  const Frame frame{*header, std::string_view(buffer_).substr(begin_ + frame_header_bytes, header->payload_bytes)};
  begin_ += frame_bytes;
  return std::optional<Frame>(frame);
}

}  // namespace onced::protocol
