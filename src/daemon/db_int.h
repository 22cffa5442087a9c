/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Inside the database.
 */
#ifndef DB_INT_H
#define DB_INT_H

#include <sqlite3.h>

struct db {
	sqlite3 *db_sqlite;
	char db_error[300];		/* of the call that failed last */
};

/* => 0 or EIO.  db_end: commits, or rolls back if there was an error, which it returns */
int db_begin(struct db *);
int db_end(struct db *, int error);

#endif /* DB_INT_H */
