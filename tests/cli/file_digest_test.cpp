#include "file_digest.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <span>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "descriptor.hpp"
#include "support/temp_directory.hpp"

namespace onced::cli {
namespace {

using client_detail::Descriptor;
using testing::TempDirectory;
using testing::write_file;

bool same(const ContentDigest& digest, const std::string& content) {
  const ContentDigest expected = content_digest(std::as_bytes(std::span(content)));
  return std::memcmp(digest.bytes, expected.bytes, sizeof digest.bytes) == 0;
}

}  // namespace

TEST_CASE("a file has the digest of its content, whatever its length") {
  const TempDirectory files;
  for (const std::size_t length : {std::size_t{0}, std::size_t{3}, std::size_t{256 * 1024}, std::size_t{1'000'001}}) {
    CAPTURE(length);
    write_file(files / "file", std::string(length, 'a'));
    const auto digest = digest_of_file((files / "file").string());
    REQUIRE(digest.ok());
    CHECK(same(*digest, std::string(length, 'a')));
  }
}

TEST_CASE("an open file is read from its present position") {
  const TempDirectory files;
  write_file(files / "file", "head and tail");
  const Descriptor file(::open((files / "file").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::lseek(file.number(), 9, SEEK_SET) == 9);
  CHECK(same(digest_of_descriptor(file.number()).value(), "tail"));
}

TEST_CASE("what cannot be read has no digest, and its error names it") {
  CHECK(digest_of_descriptor(-1).error().code == ErrorCode::invalid_argument);
  CHECK(digest_of_file("/nonexistent").error().text.find("/nonexistent cannot be opened") == 0);
  CHECK(digest_of_file("/").error().text.find("/ cannot be read") == 0);
}

}  // namespace onced::cli
