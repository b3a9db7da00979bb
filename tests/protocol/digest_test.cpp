#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>

#include "hex.hpp"

using namespace onced;

namespace {

std::string hex_of(const ContentDigest& digest) {
  return test::hex({reinterpret_cast<const char*>(digest.bytes), sizeof digest.bytes});
}
std::string digest_hex(std::string_view content) { return hex_of(content_digest(std::as_bytes(std::span(content)))); }

}  // namespace

TEST_CASE("a digest is SHA-256, by its published vectors") {
  CHECK(digest_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("content that comes in pieces has the digest of the whole") {
  const std::string content(1'000'001, 'a');
  for (const std::size_t piece : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{300'000}, content.size()}) {
    CAPTURE(piece);
    ContentHasher hasher;
    for (std::size_t begin = 0; begin < content.size(); begin += piece) {
      hasher.update(std::as_bytes(std::span(content).subspan(begin, std::min(piece, content.size() - begin))));
    }
    CHECK(hex_of(hasher.finish()) == digest_hex(content));
  }
  CHECK(hex_of(ContentHasher().finish()) == digest_hex(""));
}
