// What a session's data is encrypted with (DISK.md, "Sessions"). The library's names (OpenSSL) end at session_key.cpp.
//
// A session's key digests its keys and gives every record a key of its own; with that the record's body and its part files are sealed.
// Secrets:   what holds a key wipes it when it goes.
// Errors:    open() says false for bytes that are not what was sealed; what the library cannot do (no memory) ends the process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "disk/format.hpp"

namespace onced::disk {

void wipe(std::span<std::byte> secret);

struct SessionKey {
  std::array<std::byte, 32> bytes{};
  SessionKey() = default;
  SessionKey(const SessionKey&) = default;
  SessionKey& operator=(const SessionKey&) = default;
  ~SessionKey() { wipe(bytes); }
};

using Salt = std::array<std::byte, 16>;
using SealTag = std::array<std::byte, 16>;

// Where the log has a key of this session.
Digest sealed_digest(const SessionKey& key, std::uint64_t session, std::string_view of);
// Of one record and its part files.
SessionKey record_key(const SessionKey& key, const Salt& salt);

// One stretch of bytes, in as many pieces as they come.
class Cipher {
 public:
  enum class Way : std::uint8_t { seal, open };
  // `number`: of the stretch under this key, never used for two. `beside`: authenticated with it.
  Cipher(Way way, const SessionKey& key, std::uint64_t number, Bytes beside = {});
  ~Cipher();
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;

  // `into` has the size of `from`, and may be the same memory.
  void update(Bytes from, std::span<std::byte> into);
  SealTag tag();                   // of what was sealed
  bool is_right(const SealTag& tag);  // of what was opened: nothing of it counts before that

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace onced::disk
