#include "disk/long_hash.hpp"

namespace onced::disk {
namespace {

const HashBuild& choose() {
#ifdef ONCED_HASH_AVX2
  if (__builtin_cpu_supports("avx2")) return avx2_hash_build;
#endif
  return baseline_hash_build;
}

}  // namespace

const HashBuild& hash_build() {
  static const HashBuild& build = choose();
  return build;
}

}  // namespace onced::disk
