// A value as the bytes of a record (SHM.md, "Record"): plain, or with a part table.
//
// Threads: pure functions; write_record() before the record's slot is stored.
#pragma once

#include <cstddef>

#include "engine/record_store.hpp"

namespace onced::memory {

// Bytes of the whole record, a multiple of record_unit.
std::size_t record_bytes(const engine::RecordImage& image);

// Writes all of record_bytes(image) bytes at `at`, padding included, so that nothing of a former record stays.
void write_record(const engine::RecordImage& image, std::byte* at);

}  // namespace onced::memory
