#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <onced/protocol/frame.hpp>

#include "hex.hpp"

using namespace onced;
using namespace onced::protocol;

namespace {

std::string frame(std::string_view payload, std::uint16_t type = 2, std::uint64_t id = 9) {
  std::string bytes(frame_header_bytes, '\0');
  encode_header({static_cast<std::uint32_t>(payload.size()), type, id}, reinterpret_cast<std::uint8_t*>(bytes.data()));
  return bytes.append(payload);
}

// Hands over at most as much as the reader has room for; returns what is left.
std::string_view feed(FrameReader& reader, std::string_view bytes) {
  const std::span<std::byte> room = reader.room();
  REQUIRE(!room.empty());
  const std::size_t count = std::min(room.size(), bytes.size());
  std::memcpy(room.data(), bytes.data(), count);
  reader.received(count);
  return bytes.substr(count);
}

// All payloads that come out, fed with pieces of at most `piece` bytes.
std::vector<std::string> read_all(FrameReader& reader, std::string_view stream, std::size_t piece) {
  std::vector<std::string> payloads;
  while (!stream.empty()) {
    std::string_view now = stream.substr(0, piece);
    stream.remove_prefix(now.size());
    while (!now.empty()) {
      now = feed(reader, now);
      for (;;) {
        auto next = reader.next();
        REQUIRE(next.ok());
        if (!next->has_value()) break;
        payloads.emplace_back((**next).payload);
      }
    }
  }
  return payloads;
}

}  // namespace

TEST_CASE("a header is sixteen little-endian bytes") {
  std::uint8_t bytes[frame_header_bytes];
  encode_header({0x01020304, 0x0506, 0x1122334455667788}, bytes);
  CHECK(test::hex({reinterpret_cast<const char*>(bytes), sizeof bytes}) == "04030201" "0605" "0000" "8877665544332211");
  const auto header = decode_header(bytes);
  REQUIRE(header.ok());
  CHECK(header->payload_bytes == 0x01020304);
  CHECK(header->type == 0x0506);
  CHECK(header->request_id == 0x1122334455667788);
}

TEST_CASE("a header with reserved bytes that are not zero is refused") {
  for (const int at : {6, 7}) {
    std::string bytes = frame("");
    bytes[static_cast<std::size_t>(at)] = 1;
    const auto header = decode_header(reinterpret_cast<const std::uint8_t*>(bytes.data()));
    REQUIRE_FALSE(header.ok());
    CHECK(header.error().code == ErrorCode::malformed);
  }
}

TEST_CASE("frames come out whole however the stream is cut") {
  const std::vector<std::string> sent{"", "a", std::string(100, 'b'), std::string(5000, 'c'), "", std::string(131072, 'd'), "e"};
  std::string stream;
  for (const std::string& payload : sent) stream += frame(payload);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{15}, std::size_t{16}, std::size_t{17},
                                  std::size_t{1000}, std::size_t{65536}, stream.size()}) {
    CAPTURE(piece);
    FrameReader reader(limits::frame_payload_bytes_max);
    CHECK(read_all(reader, stream, piece) == sent);
  }
}

TEST_CASE("a frame cut at any offset is not delivered until its rest is there") {
  const std::string bytes = frame("some payload", 3, 4);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    CAPTURE(cut);
    FrameReader reader;
    if (cut > 0) CHECK(feed(reader, std::string_view(bytes).substr(0, cut)).empty());
    auto next = reader.next();
    REQUIRE(next.ok());
    CHECK_FALSE(next->has_value());
    CHECK(feed(reader, std::string_view(bytes).substr(cut)).empty());
    next = reader.next();
    REQUIRE(next.ok());
    REQUIRE(next->has_value());
    CHECK((**next).header.type == 3);
    CHECK((**next).header.request_id == 4);
    CHECK((**next).payload == "some payload");
  }
}

TEST_CASE("a length above the limit is refused by its header alone, and nothing is allocated for it") {
  for (const std::uint32_t length : {4081U, 131073U, 0x7fff'ffffU, 0xffff'ffffU}) {
    CAPTURE(length);
    FrameReader reader;
    std::string header(frame_header_bytes, '\0');
    encode_header({length, 1, 1}, reinterpret_cast<std::uint8_t*>(header.data()));
    CHECK(feed(reader, header).empty());
    CHECK(reader.room().size() < 4096);
    const auto next = reader.next();
    REQUIRE_FALSE(next.ok());
    CHECK(next.error().code == ErrorCode::too_large);
    CHECK(next.error().text == "bytes of a frame's payload " + std::to_string(length) + " > 4080");
    CHECK(reader.buffer_bytes() <= 4096);
  }
}

TEST_CASE("a reader that has refused its stream stays dead") {
  FrameReader reader;
  CHECK(feed(reader, std::string(16, '\xff')).empty());
  CHECK_FALSE(reader.next().ok());
  feed(reader, frame("fine"));
  CHECK_FALSE(reader.next().ok());
}

TEST_CASE("a connection that says nothing yet costs at most 4 KiB of buffer") {
  FrameReader reader;
  const std::string bytes = frame(std::string(4080, 'x'));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    REQUIRE(feed(reader, std::string_view(bytes).substr(i, 1)).empty());
    REQUIRE(reader.buffer_bytes() <= limits::hello_frame_bytes_max);
  }
  const auto next = reader.next();
  REQUIRE(next.ok());
  CHECK(next->has_value());
}

TEST_CASE("the limit can be raised, never lowered") {
  FrameReader reader;
  reader.raise_limit(10'000);
  reader.raise_limit(10);
  const std::string bytes = frame(std::string(10'000, 'x'));
  CHECK(read_all(reader, bytes, 700) == std::vector<std::string>{std::string(10'000, 'x')});
}

TEST_CASE("frames that were read together with the first one are not lost when the limit is raised") {
  FrameReader reader;
  CHECK(feed(reader, frame("hello") + frame("early")).empty());
  auto next = reader.next();
  REQUIRE(next.ok());
  REQUIRE(next->has_value());
  reader.raise_limit(limits::frame_payload_bytes_max);
  next = reader.next();
  REQUIRE(next.ok());
  REQUIRE(next->has_value());
  CHECK((**next).payload == "early");
}

TEST_CASE("a large frame's buffer is given back when it is no longer needed") {
  FrameReader reader(limits::frame_payload_bytes_max);
  CHECK(read_all(reader, frame(std::string(100'000, 'x')), 4096).size() == 1);
  CHECK(read_all(reader, frame("small"), 4096).size() == 1);
  CHECK(reader.buffer_bytes() <= 16 * 1024);
}

TEST_CASE("an HTTP request is called by its name") {
  for (const char* request : {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /x HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n"}) {
    FrameReader reader;
    feed(reader, request);
    const auto next = reader.next();
    REQUIRE_FALSE(next.ok());
    CHECK(next.error().text.find("HTTP") != std::string::npos);
  }
}
