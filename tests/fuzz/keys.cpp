// Foreign bytes as a key, as an argument in any encoding, and as JSON: what passes is canonical, and whatever passes can
// be shown, spelled as JSON and read back as the very same key.
#include <string>
#include <string_view>

#include <onced/protocol/key.hpp>

#include "fuzz.hpp"

namespace {

void check_good_key(const onced::Key& key) {
  FUZZ_CHECK(onced::check_key(key.bytes()).ok());
  const onced::Result<std::string> canonical = onced::canonical_msgpack(key.arguments());
  FUZZ_CHECK(canonical.ok());
  FUZZ_CHECK(*canonical == key.arguments());
  const onced::Result<onced::Key> rebuilt =
      onced::KeyBuilder(key.function(), key.version(), key.session()).arguments_msgpack(key.arguments()).build();
  FUZZ_CHECK(rebuilt.ok());
  FUZZ_CHECK(*rebuilt == key);
  const onced::Result<onced::Key> from_json =
      onced::KeyBuilder(key.function(), key.version(), key.session()).arguments_json(key.arguments_json()).build();
  FUZZ_CHECK(from_json.ok());
  FUZZ_CHECK(*from_json == key);
  const std::string shown = key.display(40);
  for (const char byte : shown) FUZZ_CHECK(static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7f);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto key = onced::Key::parse(bytes); key.ok()) check_good_key(*key);
  else FUZZ_CHECK(!key.error().text.empty());

  if (const auto key = onced::KeyBuilder("f").add_msgpack(bytes).build(); key.ok()) check_good_key(*key);
  if (const auto key = onced::KeyBuilder("f").arguments_json(bytes).build(); key.ok()) check_good_key(*key);
  return 0;
}
