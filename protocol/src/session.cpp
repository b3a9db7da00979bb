#include <onced/protocol/session.hpp>

#include <algorithm>
#include <charconv>
#include <system_error>

namespace onced::protocol {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t bits_behind_last = session_id_bytes * 6 - session_secret_bytes * 8;  // of the last character, zero

}  // namespace

std::string session_id_of(const std::array<unsigned char, session_secret_bytes>& secret) {
  std::string id;
  id.reserve(session_id_bytes);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const unsigned char byte : secret) {
    bits = bits << 8 | byte;
    for (held += 8; held >= 6; held -= 6) id.push_back(alphabet[bits >> (held - 6) & 0x3f]);
  }
  id.push_back(alphabet[bits << (6 - held) & 0x3f]);
  return id;
}

bool is_session_id(std::string_view text) {
  if (text.size() != session_id_bytes || text.find_first_not_of(alphabet) != std::string_view::npos) return false;
  return alphabet.find(text.back()) % (std::size_t{1} << bits_behind_last) == 0;
}

std::optional<std::uint64_t> session_in(std::string_view key) {
  if (!names_session(key)) return std::nullopt;
  const auto at = [&](std::size_t place) { return static_cast<unsigned char>(key[place]); };
  const unsigned char head = at(1);
  if (head < 0x80) return head;
  if (head < 0xcc || head > 0xcf) return std::nullopt;
  const std::size_t bytes = std::size_t{1} << (head - 0xcc);
  if (key.size() < 2 + bytes) return std::nullopt;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < bytes; ++i) number = number << 8 | at(2 + i);
  return number;
}

std::optional<std::uint64_t> session_number_in(std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  if (digits.front() == '0' && digits.size() > 1) return std::nullopt;
  return number;
}

}  // namespace onced::protocol
