// The demo page: one connection, one feed, one channel of notifications.
import { openConnection } from './connection.js';
import { openFeed } from './feed.js';
import { openNews } from './news.js';

const client = openConnection();
openFeed(client);
openNews(client);
