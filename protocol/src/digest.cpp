#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include <openssl/evp.h>
#include <unistd.h>

#include <onced/protocol/key.hpp>

namespace onced {
namespace {

constexpr std::size_t read_bytes = 256 * 1024;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    ONCED_ASSERT(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void update(const void* bytes, std::size_t size) { ONCED_ASSERT(EVP_DigestUpdate(context_.get(), bytes, size) == 1); }
  ContentDigest finish() {
    ContentDigest digest;
    ONCED_ASSERT(EVP_DigestFinal_ex(context_.get(), digest.bytes, nullptr) == 1);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

ContentDigest content_digest(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.finish();
}

Result<ContentDigest> content_digest_of_file(int descriptor) {
  Sha256 hash;
  std::vector<char> buffer(read_bytes);
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count == 0) return hash.finish();
    if (count > 0) hash.update(buffer.data(), static_cast<std::size_t>(count));
    else if (errno != EINTR)
      return Error{ErrorCode::invalid_argument, std::string("cannot read a file for its digest: ") + std::strerror(errno)};
  }
}

}  // namespace onced
