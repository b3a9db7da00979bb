#include "engine/key_fields.hpp"

#include <cstdint>

#include <onced/protocol/key.hpp>

namespace onced::engine {
namespace {

constexpr unsigned char array_of_four = 0x94;
constexpr unsigned char nil = 0xc0;

// Bytes of an unsigned integer's encoding that begins with `head`; 0: it is none.
std::size_t unsigned_size(unsigned char head) {
  if (head < 0x80) return 1;
  if (head >= 0xcc && head <= 0xcf) return 1 + (std::size_t{1} << (head - 0xcc));
  return 0;
}

// The bytes of the string whose encoding begins at `place`, a view into the key; null: there is none.
std::string_view string_at(std::string_view key, std::size_t place) {
  const auto at = [&](std::size_t where) { return static_cast<unsigned char>(key[where]); };
  if (place >= key.size()) return {};
  const unsigned char head = at(place++);
  std::size_t size = 0;
  if (head >= 0xa0 && head <= 0xbf) {
    size = head & 0x1fU;
  } else if (head == 0xd9 && place + 1 <= key.size()) {
    size = at(place);
    place += 1;
  } else if (head == 0xda && place + 2 <= key.size()) {
    size = (std::size_t{at(place)} << 8) | at(place + 1);
    place += 2;
  } else {
    return {};
  }
  if (size > key.size() - place) return {};
  return key.substr(place, size);
}

std::size_t end_of(std::string_view key, std::string_view inside) { return static_cast<std::size_t>(inside.data() + inside.size() - key.data()); }

}  // namespace

std::string_view function_of(std::string_view key) {
  if (key.size() < 3 || static_cast<unsigned char>(key[0]) != array_of_four) return {};
  const auto head = static_cast<unsigned char>(key[1]);
  const std::size_t session = head == nil ? 1 : unsigned_size(head);
  return session == 0 ? std::string_view() : string_at(key, 1 + session);
}

std::string_view version_of(std::string_view key) {
  const std::string_view function = function_of(key);
  return function.data() == nullptr ? std::string_view() : string_at(key, end_of(key, function));
}

KeyWithoutVersion without_version(std::string_view key) {
  const std::string_view function = function_of(key);
  const std::string_view version = version_of(key);
  if (version.data() == nullptr) return {key, {}};
  return {key.substr(0, end_of(key, function)), key.substr(end_of(key, version))};
}

std::string first_bytes_of_function(std::string_view function) {
  std::string bytes{static_cast<char>(array_of_four), static_cast<char>(nil)};
  const std::size_t size = function.size();
  if (size < 32) {
    bytes += static_cast<char>(0xa0U | size);
  } else if (size < 256) {
    bytes += static_cast<char>(0xd9);
    bytes += static_cast<char>(size);
  } else {
    bytes += static_cast<char>(0xda);
    bytes += static_cast<char>((size >> 8) & 0xffU);
    bytes += static_cast<char>(size & 0xffU);
  }
  return bytes.append(function);
}

std::string display(std::string_view key, std::size_t width) {
  const Result<Key> parsed = Key::parse(key);
  return parsed ? parsed->display(width) : std::string("(not a key)");
}

}  // namespace onced::engine
