// Memory budgets that nobody has set, from what there is.
#include <algorithm>

#include "service/configuration.hpp"

namespace onced::service {
namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
// As if the machine had so much, when it does not say.
constexpr std::uint64_t memory_unknown_bytes = 1024 * mebibyte;
constexpr std::uint64_t blobs_per_segment = 4;  // bytes by byte, of further namespaces

std::uint64_t whole_mebibytes(std::uint64_t bytes) { return std::max(bytes / mebibyte, std::uint64_t{1}) * mebibyte; }

}  // namespace

void set_default_budgets(Configuration& configuration, const Machine& machine) {
  const std::uint64_t there = machine.memory_bytes != 0 ? machine.memory_bytes : memory_unknown_bytes;
  if (configuration.memory_bytes == 0) {
    configuration.memory_bytes = std::clamp(whole_mebibytes(there / 16), 4 * mebibyte, 1024 * mebibyte);
  }
  for (auto& [name, space] : configuration.namespaces) {
    Budget& budget = space.budget;
    // One of the two was said, or there would be no such namespace.
    if (budget.memory_bytes == 0) budget.memory_bytes = whole_mebibytes(budget.blob_bytes / blobs_per_segment);
    if (budget.blob_bytes == 0) budget.blob_bytes = budget.memory_bytes * blobs_per_segment;
  }
  if (configuration.blob_bytes == 0) {
    const Budget others = whole_budget(configuration);
    const std::uint64_t taken = others.memory_bytes + others.blob_bytes;
    const std::uint64_t left = taken < there ? there - taken : 0;
    configuration.blob_bytes = whole_mebibytes(std::min(there / 4, left / 2));
  }
}

Budget whole_budget(const Configuration& configuration) {
  Budget whole{configuration.memory_bytes, configuration.blob_bytes};
  for (const auto& [name, space] : configuration.namespaces) {
    whole.memory_bytes += space.budget.memory_bytes;
    whole.blob_bytes += space.budget.blob_bytes;
  }
  return whole;
}

}  // namespace onced::service
