/* Hits in a session, as a model (SHM.md, "Sessions"): one writer that rotates and publishes, a reader with the grant of any of
 * the generations. What must never happen: a hit on what was stored under a later generation than the reader's grant, and any
 * hit by a look-up that begins after the session's end.
 *
 * Sequential consistency stands for: the entry is stored before the slot (seq_cst), and looked at after the slot was loaded
 * (acquire). Pins are segment.pml's matter.
 *
 * -DLOOK_FIRST (the reader looks at the entry before the slot) and -DSTORE_LATE (the writer stores the entry after the slot) each
 * break one order; spin must then find a counter-example (check does it).
 */
#define GENERATIONS 3
#define ENDED 0

byte entry = 1;      /* the session's entry in the table */
byte slot = 0;       /* under which generation what is found was stored; 0: nothing */
bool answered = false;  /* the session's end was */

proctype Reader(byte grant) {
  byte found, generation, lookups = 0;
  bool began_after;
  do
  :: lookups < 2 ->
     lookups++;
     began_after = answered;
#ifdef LOOK_FIRST
     generation = entry;
     found = slot;
#else
     found = slot;
     generation = entry;
#endif
     if
     :: found != 0 && generation == grant ->   /* a hit */
        assert(found <= grant);
        assert(!began_after)
     :: else -> skip
     fi
  :: else -> break
  od
}

proctype Writer() {
  byte generation = 1;
  slot = 1;
  do
  :: generation < GENERATIONS ->
     generation++;
#ifdef STORE_LATE
     slot = generation;
     entry = generation
#else
     entry = generation;                        /* a rotation */
     if
     :: slot = generation                       /* a value is published */
     :: skip                                    /* the old one stays */
     fi
#endif
  :: generation == GENERATIONS -> break
  od;
  entry = ENDED;
  answered = true;                              /* its values go later */
  slot = 0
}

init {
  atomic { run Writer(); run Reader(1); run Reader(2) }
}
