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

}  // namespace

std::string_view function_of(std::string_view key) {
  const auto at = [&](std::size_t place) { return static_cast<unsigned char>(key[place]); };
  if (key.size() < 3 || at(0) != array_of_four) return {};
  const std::size_t session = at(1) == nil ? 1 : unsigned_size(at(1));
  std::size_t place = 1 + session;
  if (session == 0 || place >= key.size()) return {};
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

bool has_session(std::string_view key) { return key.size() >= 2 && static_cast<unsigned char>(key[1]) != nil; }

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
