#include "engine/key_map.hpp"

#include <xxhash.h>

namespace onced::engine {

static_assert(sizeof(HashSecret) >= XXH3_SECRET_SIZE_MIN);

std::size_t BytesHash::operator()(std::string_view bytes) const {
  return XXH3_64bits_withSecret(bytes.data(), bytes.size(), secret_->data(), secret_->size());
}

}  // namespace onced::engine
