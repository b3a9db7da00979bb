#include <memory>

#include <openssl/evp.h>

#include <onced/protocol/key.hpp>

namespace onced {

struct ContentHasher::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

ContentHasher::ContentHasher() : state_(std::make_unique<State>()) {
  ONCED_ASSERT(state_->context != nullptr && EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
}
ContentHasher::ContentHasher(ContentHasher&&) noexcept = default;
ContentHasher& ContentHasher::operator=(ContentHasher&&) noexcept = default;
ContentHasher::~ContentHasher() = default;

void ContentHasher::update(std::span<const std::byte> bytes) {
  ONCED_ASSERT(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

ContentDigest ContentHasher::finish() {
  ContentDigest digest;
  ONCED_ASSERT(EVP_DigestFinal_ex(state_->context.get(), digest.bytes, nullptr) == 1);
  return digest;
}

ContentDigest content_digest(std::span<const std::byte> bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

}  // namespace onced
