#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <onced/protocol/key.hpp>

#include "hex.hpp"

using namespace onced;

namespace {

std::string hex_of(const ContentDigest& digest) {
  return test::hex({reinterpret_cast<const char*>(digest.bytes), sizeof digest.bytes});
}
std::string digest_hex(std::string_view content) { return hex_of(content_digest(std::as_bytes(std::span(content)))); }

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File file_with(std::string_view content) {
  File file(std::tmpfile(), std::fclose);
  REQUIRE(file != nullptr);
  REQUIRE(std::fwrite(content.data(), 1, content.size(), file.get()) == content.size());
  REQUIRE(std::fflush(file.get()) == 0);
  return file;
}

}  // namespace

TEST_CASE("a digest is SHA-256, by its published vectors") {
  CHECK(digest_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("a file has the digest of its content, whatever its length") {
  for (const std::size_t length : {std::size_t{0}, std::size_t{3}, std::size_t{256 * 1024}, std::size_t{1'000'001}}) {
    const std::string content(length, 'a');
    const File file = file_with(content);
    REQUIRE(::lseek(::fileno(file.get()), 0, SEEK_SET) == 0);
    const auto digest = content_digest_of_file(::fileno(file.get()));
    REQUIRE(digest.ok());
    CHECK(hex_of(*digest) == digest_hex(content));
  }
}

TEST_CASE("a file is read from its present position") {
  const File file = file_with("head and tail");
  REQUIRE(::lseek(::fileno(file.get()), 9, SEEK_SET) == 9);
  CHECK(hex_of(content_digest_of_file(::fileno(file.get())).value()) == digest_hex("tail"));
}

TEST_CASE("what cannot be read has no digest") {
  const auto closed = content_digest_of_file(-1);
  REQUIRE_FALSE(closed.ok());
  CHECK(closed.error().code == ErrorCode::invalid_argument);

  const int directory = ::open("/", O_RDONLY | O_CLOEXEC);
  REQUIRE(directory >= 0);
  CHECK_FALSE(content_digest_of_file(directory).ok());
  ::close(directory);
}
