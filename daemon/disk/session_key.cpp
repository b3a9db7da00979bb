#include "disk/session_key.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::disk {
namespace {

constexpr std::byte for_digest{1};
constexpr std::byte for_record{2};
constexpr std::size_t piece_bytes = std::size_t{1} << 30;  // the library counts in int

const unsigned char* raw(const std::byte* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

SessionKey derived(const SessionKey& key, std::byte what_for, Bytes from) {
  std::vector<std::byte> text(1 + from.size());
  text[0] = what_for;
  if (!from.empty()) std::memcpy(text.data() + 1, from.data(), from.size());
  SessionKey made;
  unsigned int size = 0;
  ONCED_ASSERT(::HMAC(::EVP_sha256(), key.bytes.data(), static_cast<int>(key.bytes.size()), raw(text.data()), text.size(), raw(made.bytes.data()), &size) != nullptr);
  ONCED_ASSERT(size == made.bytes.size());
  wipe(text);
  return made;
}

}  // namespace

void wipe(std::span<std::byte> secret) { ::OPENSSL_cleanse(secret.data(), secret.size()); }

Digest sealed_digest(const SessionKey& key, std::uint64_t session, std::string_view of) {
  const SessionKey whole = derived(key, for_digest, bytes_of(of));
  Digest digest{0, session};
  std::memcpy(&digest.low, whole.bytes.data(), sizeof(digest.low));
  return digest;
}

SessionKey record_key(const SessionKey& key, const Salt& salt) { return derived(key, for_record, salt); }

struct Cipher::State {
  std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context{::EVP_CIPHER_CTX_new(), ::EVP_CIPHER_CTX_free};
};

Cipher::Cipher(Way way, const SessionKey& key, std::uint64_t number, Bytes beside) : state_(std::make_unique<State>()) {
  std::array<unsigned char, 12> nonce{};
  std::memcpy(nonce.data(), &number, sizeof(number));
  EVP_CIPHER_CTX* const context = state_->context.get();
  ONCED_ASSERT(context != nullptr);
  ONCED_ASSERT(::EVP_CipherInit_ex(context, ::EVP_aes_256_gcm(), nullptr, raw(key.bytes.data()), nonce.data(), way == Way::seal ? 1 : 0) == 1);
  int size = 0;
  if (!beside.empty()) ONCED_ASSERT(::EVP_CipherUpdate(context, nullptr, &size, raw(beside.data()), static_cast<int>(beside.size())) == 1);
}

Cipher::~Cipher() = default;

void Cipher::update(Bytes from, std::span<std::byte> into) {
  ONCED_ASSERT(from.size() == into.size());
  for (std::size_t at = 0; at < from.size();) {
    const int piece = static_cast<int>(std::min(piece_bytes, from.size() - at));
    int size = 0;
    ONCED_ASSERT(::EVP_CipherUpdate(state_->context.get(), raw(into.data() + at), &size, raw(from.data() + at), piece) == 1 && size == piece);
    at += static_cast<std::size_t>(piece);
  }
}

SealTag Cipher::tag() {
  SealTag tag{};
  int size = 0;
  unsigned char none[16];
  ONCED_ASSERT(::EVP_CipherFinal_ex(state_->context.get(), none, &size) == 1 && size == 0);
  ONCED_ASSERT(::EVP_CIPHER_CTX_ctrl(state_->context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1);
  return tag;
}

bool Cipher::is_right(const SealTag& tag) {
  SealTag wanted = tag;
  int size = 0;
  unsigned char none[16];
  ONCED_ASSERT(::EVP_CIPHER_CTX_ctrl(state_->context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(wanted.size()), wanted.data()) == 1);
  return ::EVP_CipherFinal_ex(state_->context.get(), none, &size) == 1;
}

}  // namespace onced::disk
