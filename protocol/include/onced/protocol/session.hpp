// Names of sessions: the id, a secret that the daemon makes and an application keeps in a cookie; and the number, which is no
// secret and stands in keys (WIRE.md, "Sessions").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace onced::protocol {

// 256 random bits, in base64url (RFC 4648, section 5) without padding.
inline constexpr std::size_t session_secret_bytes = 32;
inline constexpr std::size_t session_id_bytes = 43;
std::string session_id_of(const std::array<unsigned char, session_secret_bytes>& secret);
// Whether it could be one: its length, its alphabet, no bit set behind the last.
bool is_session_id(std::string_view text);

// Whether a canonical key names a session at all.
inline bool names_session(std::string_view key) { return key.size() >= 2 && static_cast<unsigned char>(key[1]) != 0xc0; }
// Its number. Nothing: it names none.
std::optional<std::uint64_t> session_in(std::string_view key);

// Scope's subject, of kind session: decimal digits, the shortest.
std::optional<std::uint64_t> session_number_in(std::string_view digits);

}  // namespace onced::protocol
